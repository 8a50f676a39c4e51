"""What a Celery worker prints past every logger: how it and its processes end. Here it becomes log lines."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from billiard.util import get_logger
from celery.apps import worker

from belvedere import failures
from belvedere.integrations.hooks import hook, unhook

_SAYS = "safe_say"


class Printed:
    """Takes it, and gives it back."""

    def __init__(self) -> None:
        self._logger = get_logger()
        self._before = self._logger.propagate, self._logger.level

    def take(self) -> None:
        # Celery would give this logger a handler, and this level; without any, it writes to stderr by itself.
        self._logger.propagate = True
        self._logger.setLevel(logging.ERROR)
        if callable(getattr(worker, _SAYS, None)):
            hook(self, worker, _SAYS, _logging)

    def give_back(self) -> None:
        self._logger.propagate = self._before[0]
        self._logger.setLevel(self._before[1])
        unhook(self, worker, _SAYS)


def _logging(say: Callable[..., Any]) -> Callable[..., Any]:
    def log(message: Any, *_: Any) -> None:
        # In the handler of a signal; whatever is interrupted there may be writing a line itself.
        try:
            logging.getLogger(worker.__name__).info(str(message))
        except Exception as error:
            failures.contain("logs", error)

    return log
