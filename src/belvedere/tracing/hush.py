"""What exporters log of themselves: each attempt, with tracebacks; we tell it once a minute, in one line."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_here = threading.local()


class _Hush(logging.Filter):
    """Keeps to itself what is logged in a thread that is hushed."""

    def filter(self, record: logging.LogRecord) -> bool:
        said: list[str] | None = getattr(_here, "said", None)
        if said is None:
            return True
        try:
            said.append(record.getMessage())
        except Exception:  # arguments that do not fit
            said.append(str(record.msg))
        return False


_hush = _Hush()


def hush_exporters() -> None:
    """Have the loggers of all exporters that are imported keep quiet in threads that are hushed, now and later."""
    for name in list(sys.modules):
        if name.startswith(("opentelemetry.exporter.", "opentelemetry.sdk.", "opentelemetry.util.")):
            logger = logging.root.manager.loggerDict.get(name)
            if isinstance(logger, logging.Logger) and _hush not in logger.filters:
                logger.addFilter(_hush)


def is_hushed() -> bool:
    """Whether this thread is sending something."""
    return getattr(_here, "said", None) is not None


@contextmanager
def hushed() -> Iterator[list[str]]:
    """Collect what exporters log in this thread instead of having it logged."""
    said: list[str] = []
    _here.said = said
    try:
        yield said
    finally:
        del _here.said
