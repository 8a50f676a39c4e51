"""What servers print to stderr past every logger: how a worker process ended. Here it becomes a log line."""

from __future__ import annotations

import multiprocessing
import sys
from types import FrameType
from typing import Any, Final

from belvedere.asgi.server import one_of_several
from belvedere.conventions import OWN_LOGGER, Event
from belvedere.logs import output
from belvedere.logs.servers import mark_written, written

_PRINTERS: Final = frozenset({"multiprocessing", "gunicorn"})
"""Packages whose prints are meant: `multiprocessing`, for workers of uvicorn, granian and hypercorn, and gunicorn."""


class StandardError:
    """Stands in for `sys.stderr` in a worker of a server, for its server alone.

    All that others print goes where it went before.
    """

    def __init__(self, stream: Any) -> None:
        self.stands_for = stream

    def write(self, text: str) -> int:
        active = output.active
        if active is None or not _prints(sys._getframe(1)):
            return int(self.stands_for.write(text))
        error = sys.exception()
        if error is None or isinstance(error, SystemExit):
            if text.strip():
                active.emit(40, "error", OWN_LOGGER, text.strip(), {})
        elif not written(error):
            mark_written(error)
            fields = {"exception_type": type(error).__name__, "exception_message": str(error)}
            fields["process_name"] = multiprocessing.current_process().name
            active.emit(50, "critical", OWN_LOGGER, Event.UNCAUGHT_EXCEPTION, fields, error=error)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stands_for, name)


class StandIn:
    """Puts a `StandardError` in place, in processes where a server prints how they end, and takes it away again."""

    def __init__(self) -> None:
        self._ours: StandardError | None = None

    def take(self) -> None:
        if sys.stderr is sys.__stderr__ and sys.stderr is not None and (one_of_several() or _is_being_spawned()):
            self._ours = StandardError(sys.stderr)
            sys.stderr = self._ours

    def give_back(self) -> None:
        if self._ours is not None and sys.stderr is self._ours:
            sys.stderr = self._ours.stands_for
        self._ours = None


def _is_being_spawned() -> bool:
    """Whether `multiprocessing` loads the application to find what this process is to run: its parent is told later."""
    return hasattr(multiprocessing.current_process(), "_inheriting")


def _prints(frame: FrameType | None) -> bool:
    """Whether the nearest code that is not `traceback`'s is a server's."""
    while frame is not None:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package != "traceback":
            return package in _PRINTERS
        frame = frame.f_back
    return False
