"""What is lost is told: nothing goes silently."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from belvedere.conventions import InteractionEvent

LOGGED: Final = 60.0
"""Seconds between two log events about what is lost."""
_TOLD_APART: Final = "refused"
"""The reason with an event of its own, which says what the database had against it."""


class Losses:
    """Logs what is lost, by reason.

    Args:
        log: called with level, event and fields.
        clock: seconds of a monotonic clock.
    """

    def __init__(self, log: Callable[..., Any], clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._told: Counter[str] = Counter()
        self._told_at = float("-inf")

    def tell(self, dropped: Counter[str], *, at_once: bool = False) -> None:
        """Log what was lost since the last time, once a minute at most, or `at_once`.

        Args:
            dropped: all that was lost so far, by reason.
        """
        lost = dropped - self._told
        lost.pop(_TOLD_APART, None)
        if not lost or not (at_once or self._clock() - self._told_at >= LOGGED):
            return
        self._told, self._told_at = Counter(dropped), self._clock()
        self._log("error", InteractionEvent.DROPPED, reasons=dict(sorted(lost.items())), dropped=lost.total())
