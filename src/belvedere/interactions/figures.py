"""The metrics of interactions, in each application that they are installed in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from belvedere import conventions as names
from belvedere.conventions import MetricName
from belvedere.parts import Host


class Tally:
    """What became of the events of one `Interactions`, in this process."""

    def __init__(self) -> None:
        self.written = 0
        self.retried = 0
        self.dropped: Counter[str] = Counter()
        self.pending = 0
        self.bytes = 0
        self.oldest = 0.0


class Figures:
    """Shows a tally in the metrics of one application; where several are installed there, their sum.

    Args:
        host: of the application.
        tally: what is shown.
    """

    def __init__(self, host: Host, tally: Tally) -> None:
        self.recorded = _metric(host, names.INTERACTIONS_RECORDED)
        self._written = _metric(host, names.INTERACTIONS_WRITTEN)
        self._retried = _metric(host, names.INTERACTIONS_RETRIED)
        self._dropped = _metric(host, names.INTERACTIONS_DROPPED)
        self._pending = _metric(host, names.INTERACTIONS_PENDING)
        self._bytes = _metric(host, names.INTERACTIONS_JOURNAL)
        self._oldest = _metric(host, names.INTERACTIONS_OLDEST, combine="max")
        self._tally = tally
        # What was counted before belongs to whoever was installed then.
        self._shown = _counted(tally)
        self._beside = _installed.setdefault(host, WeakSet())
        self._beside.add(self)

    def refresh(self) -> None:
        """Show what the tally has counted since the last time, and how it stands."""
        tally = self._tally
        written, retried, dropped = self._shown
        self._written.inc(tally.written - written)
        self._retried.inc(tally.retried - retried)
        for reason, lost in (tally.dropped - dropped).items():
            self._dropped.labels(reason).inc(lost)
        self._shown = _counted(tally)
        tallies = [figures._tally for figures in self._beside]
        self._pending.set(sum(other.pending for other in tallies))
        self._bytes.set(sum(other.bytes for other in tallies))
        self._oldest.set(max(other.oldest for other in tallies))

    def remove(self) -> None:
        """Have the others of the application shown without this one."""
        self._beside.discard(self)


class NoFigures(Figures):
    """Counts nothing: of events by hand where no application is observed."""

    def __init__(self) -> None:
        self.recorded = self

    def labels(self, *_: str) -> Any:
        return self

    def inc(self, _: float = 1.0) -> None:
        """Count nothing."""


def _counted(tally: Tally) -> tuple[int, int, Counter[str]]:
    return tally.written, tally.retried, Counter(tally.dropped)


_installed: WeakKeyDictionary[Any, WeakSet[Figures]] = WeakKeyDictionary()


def _metric(host: Host, metric: MetricName, **options: Any) -> Any:
    kind: Any = metric.type
    return host.metric(kind, metric.name, metric.help, metric.labels, **options)


def losses(dropped: Mapping[str, int], refused: int) -> Counter[str]:
    """Return all that was lost, by reason: what the journal could not keep, and what the database refused."""
    return Counter({**dropped, **({"refused": refused} if refused else {})})
