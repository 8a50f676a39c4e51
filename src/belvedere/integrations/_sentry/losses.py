"""What Sentry's SDK could not send: counted, and told once a minute, in place of a line for each attempt."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from typing import Any, Final

from belvedere import failures
from belvedere.conventions import OWN_LOGGER, Event
from belvedere.integrations._sentry.options import FEATURE

TOLD_EVERY: Final = 60.0
"""Seconds between two lines about losses."""
_DELIBERATE: Final = frozenset({"sample_rate", "before_send", "event_processor", "ignored"})
"""Reasons of the SDK's for what was not meant to be sent."""
_ATTEMPTS: Final = logging.getLogger("urllib3.connectionpool")
_THREADS: Final = "sentry-sdk."


class Losses:
    """Counts in each counter that it is given, of category and reason."""

    def __init__(self) -> None:
        self.counters: dict[int, Any] = {}
        self._told = -TOLD_EVERY
        self._untold = 0

    def wrap(self, record: Callable[..., None]) -> Callable[..., None]:
        """Return what is called in place of the transport's `record_lost_event`."""

        @functools.wraps(record)
        def counted(
            reason: str, data_category: str | None = None, item: Any = None, *args: Any, quantity: int = 1
        ) -> None:
            try:
                if reason not in _DELIBERATE:
                    category = data_category if item is None else item.data_category
                    self._count(str(category), reason, quantity if item is None else 1)
            except Exception as error:
                failures.contain(FEATURE, error)
            record(reason, data_category, item, *args, quantity=quantity)

        return counted

    def _count(self, category: str, reason: str, quantity: int) -> None:
        # Two parts of one application have one counter.
        for counter in {id(counter): counter for counter in self.counters.values()}.values():
            counter.labels(category, reason).inc(quantity)
        self._untold += quantity
        now = time.monotonic()
        if now - self._told >= TOLD_EVERY:
            self._told, untold, self._untold = now, self._untold, 0
            fields = {"signal": FEATURE, "reason": reason, "dropped": untold}
            logging.getLogger(OWN_LOGGER).warning(Event.EXPORT_FAILED, extra=fields)


def hush() -> None:
    """Leave out the lines that the SDK's threads make for each attempt to connect."""
    _ATTEMPTS.addFilter(_of_others)


def hush_no_more() -> None:
    """Take that back."""
    _ATTEMPTS.removeFilter(_of_others)


def _of_others(record: logging.LogRecord) -> bool:
    return not (record.threadName or "").startswith(_THREADS)
