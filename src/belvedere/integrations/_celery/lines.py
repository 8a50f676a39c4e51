"""Celery's own lines about a task, in whose place there is one of ours."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from celery.app import trace

from belvedere.integrations._celery.run import running

_RUN: Final = frozenset(
    text.strip()
    for text in (
        trace.LOG_SUCCESS,
        trace.LOG_FAILURE,
        trace.LOG_INTERNAL_ERROR,
        trace.LOG_IGNORED,
        trace.LOG_REJECTED,
        trace.LOG_RETRY,
    )
)
_WAIT: Final = frozenset(
    {
        trace.LOG_RECEIVED.strip(),
        "Discarding revoked task: %s[%s]",
        "Hard time limit (%ss) exceeded for %s[%s]",
        "Task handler raised error: %r",
    }
)
"""Written by the process that hands tasks out, before and after; of the last ones our line has the traceback."""
_LOGGERS: Final = ("celery.app.trace", "celery.worker.strategy", "celery.worker.request")


class OwnLines(logging.Filter):
    """Keeps back what Celery writes of a task.

    Args:
        app: whose tasks.
        told: whether there are lines of ours.
    """

    def __init__(self, app: Any, told: Callable[[], bool]) -> None:
        super().__init__()
        self._app = app
        self._told = told

    def take(self) -> None:
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(self)

    def give_back(self) -> None:
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        if not isinstance(record.msg, str) or not self._told():
            return True
        text = record.msg.strip()
        if text in _RUN:
            run = running.get()
            return run is None or not run.tells
        if text not in _WAIT:
            return True
        data = getattr(record, "data", None)
        # Another application's of this process stay.
        return isinstance(data, dict) and data.get("name") not in self._app.tasks
