"""The standard library's side: a handler that turns records into lines."""

from __future__ import annotations

import logging
from typing import Any, Final

from belvedere import failures
from belvedere.logs import output
from belvedere.logs.levels import NAMES
from belvedere.logs.output import Output
from belvedere.logs.serialise import as_text
from belvedere.logs.servers import ACCESS_LOGGERS, is_access, is_server, mark_written, reported, tells_reported

RECORD_KEYS: Final = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"message", "asctime", "taskName"}
"""What a record holds by itself; the rest came by `extra`."""

_DROPPED: Final = RECORD_KEYS | {"color_message"}


class Handler(logging.Handler):
    """Sends records through the pipeline; on the root logger, and in the place of others that wrote to a console."""

    def __init__(self) -> None:
        super().__init__()
        self.silences_access = False
        """Whether servers' lines per request are dropped, as there are ours."""

    def handle(self, record: logging.LogRecord) -> bool:
        # The standard library's own holds a lock around `emit`, which the writer makes unnecessary.
        kept: Any = self.filter(record)
        if kept:
            self.emit(kept if isinstance(kept, logging.LogRecord) else record)
        return bool(kept)

    def emit(self, record: logging.LogRecord) -> None:
        active = output.active
        if active is None or record.levelno < active.pipeline.levels.threshold(record.name):
            return
        try:
            self._write(active, record)
        except Exception as error:  # what a record carries may raise anything when it is looked at
            failures.contain("logs", error)

    def _write(self, active: Output, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        text = message(record)
        from_server = is_server(record.name)
        if from_server:
            if reported(error) or tells_reported(text) or (self.silences_access and is_access(record)):
                return
            if error is not None:
                # It may print the same once more: gunicorn's worker does.
                mark_written(error)
        active.emit(
            record.levelno,
            level_name(record),
            record.name,
            text,
            extra_fields(record),
            error=error,
            exception=None if record.exc_info else record.exc_text,
            stack=record.stack_info,
            at=int(record.created * 1_000_000_000),
            # A server says little, and the last of it just before a signal ends the process without further ado.
            now=from_server and record.name not in ACCESS_LOGGERS,
        )


def level_name(record: logging.LogRecord) -> str:
    """Return the level's name: of the five that everybody has their own, whatever `logging.addLevelName` or a formatter
    before us has made of it, as colours for a terminal; of others what they are called."""
    return NAMES.get(record.levelno) or str(record.levelname).lower()


def extra_fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return what came by `extra`; uvicorn's copy of its message for terminals is left out."""
    return {key: value for key, value in vars(record).items() if key not in _DROPPED}


def message(record: logging.LogRecord) -> str:
    """Return the record's text; where its arguments do not fit, they are shown beside it."""
    try:
        return record.getMessage()
    except Exception:  # arguments, and their own methods, may raise anything
        return f"{as_text(record.msg)} {as_text(record.args)}"
