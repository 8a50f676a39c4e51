"""Belvedere's own failures: caught where they happen, counted by feature, logged once a minute, never the
application's."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter

from belvedere import conventions

LOG_EVERY = 60.0
"""Seconds between two log events about the same feature."""

counts: Counter[str] = Counter()
"""Failures so far, by feature; what `belvedere_internal_errors_total` shows."""

_last_logged: dict[str, float] = {}
_reporting = threading.local()


def contain(feature: str, error: BaseException, now: float | None = None) -> None:
    """Count a failure of `feature`, and log it unless one of that feature was logged within the last minute."""
    counts[feature] += 1
    now = time.monotonic() if now is None else now
    # Logging may be what failed: its own failure is counted, and not logged again from in here.
    if now - _last_logged.get(feature, -LOG_EVERY) < LOG_EVERY or getattr(_reporting, "active", False):
        return
    _last_logged[feature] = now
    _reporting.active = True
    try:
        logging.getLogger(conventions.OWN_LOGGER).error(
            conventions.Event.INTERNAL_ERROR,
            exc_info=(type(error), error, error.__traceback__),
            extra={"feature": feature, "total": counts[feature]},
        )
    except Exception:
        counts["logs"] += 1
    finally:
        _reporting.active = False
