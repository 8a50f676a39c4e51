"""Belvedere's own metrics: checks, the process, and how Belvedere itself is doing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from belvedere import conventions as names
from belvedere import failures
from belvedere.conventions import MetricName
from belvedere.metrics.cardinality import Folded
from belvedere.metrics.families import Family
from belvedere.metrics.runtime import threadpool


class OwnMetrics:
    """The `belvedere_*` families of one application, brought up to date before each scrape.

    Args:
        folded: what bounds on label sets folded.
        lag: returns the event loop's worst recent delay in seconds.
        dropped: returns how many log lines were dropped so far.
        refused: how many scrapes were refused so far, by reason.
    """

    def __init__(
        self, folded: Folded, lag: Callable[[], float], dropped: Callable[[], int], refused: Mapping[str, int]
    ) -> None:
        self._folded = folded
        self._lag = lag
        self._dropped = dropped
        self._refused = refused
        self._dropped_before = 0
        self._refused_before: Mapping[str, int] = {}
        self.spans_unsent: Mapping[str, int] = {}
        """Spans that were not exported so far, by reason; log records alike."""
        self.records_unsent: Mapping[str, int] = {}
        self.check_up = _family(names.CHECK_UP, combine="min")
        self.check_duration = _family(names.CHECK_DURATION, names.DURATION_BUCKETS)
        self.loop_lag = _family(names.LOOP_LAG, combine="max")
        self.threadpool = _family(names.THREADPOOL)
        self.series_folded = _family(names.SERIES_FOLDED)
        self.internal_errors = _family(names.INTERNAL_ERRORS)
        self.lines_dropped = _family(names.LINES_DROPPED)
        self.spans_dropped = _family(names.SPANS_DROPPED)
        self.records_dropped = _family(names.RECORDS_DROPPED)
        self.metrics_refused = _family(names.METRICS_REFUSED)
        self.info = _family(names.INFO, combine="max")

    @property
    def families(self) -> Sequence[Family]:
        return (
            self.check_up,
            self.check_duration,
            self.loop_lag,
            self.threadpool,
            self.series_folded,
            self.internal_errors,
            self.lines_dropped,
            self.spans_dropped,
            self.records_dropped,
            self.metrics_refused,
            self.info,
        )

    def tell(self, version: str, features: Sequence[str]) -> None:
        """Have `belvedere_info` show the version and the features that are on."""
        self.info.clear()
        self.info.get(version, ",".join(features)).cells[0] = 1.0

    def check_result(self, check: str, passed: bool, seconds: float) -> None:
        """Count one run of a health check."""
        self.check_up.get(check).cells[0] = float(passed)
        cells = self.check_duration.get(check).cells
        cells[0] += seconds
        cells[1 + sum(1 for bound in self.check_duration.bounds if bound < seconds)] += 1.0

    def forked(self) -> None:
        """Begin anew in a process that was forked."""
        self._folded.counts.clear()
        failures.counts.clear()
        self._dropped_before = self._dropped()
        self._refused_before = dict(self._refused)

    def refresh(self) -> None:
        """Take over what is counted elsewhere; called on the event loop."""
        for state, threads in threadpool().items():
            self.threadpool.get(state).cells[0] = threads
        self.refresh_from_thread()

    def refresh_from_thread(self) -> None:
        """Take over what can be had from any thread: all that is known of an event loop that is stuck."""
        self.loop_lag.get().cells[0] = self._lag()
        for metric, folds in self._folded.counts.items():
            self.series_folded.get(metric).cells[0] = float(folds)
        for feature, errors in failures.counts.items():
            self.internal_errors.get(feature).cells[0] = float(errors)
        self.lines_dropped.get().cells[0] = float(self._dropped() - self._dropped_before)
        by_reason = (
            (self.metrics_refused, {key: n - self._refused_before.get(key, 0) for key, n in self._refused.items()}),
            (self.spans_dropped, self.spans_unsent),
            (self.records_dropped, self.records_unsent),
        )
        for family, counts in by_reason:
            for reason, count in counts.items():
                family.get(reason).cells[0] = float(count)


def _family(metric: MetricName, bounds: Sequence[float] = (), combine: Literal["sum", "max", "min"] = "sum") -> Family:
    return Family((metric.name,), metric.type, metric.help, metric.labels, bounds, combine=combine)
