"""The metrics of one application over all workers of its service, added up for a scrape.

What the cells of each worker are is read once, as it is added; a scrape is then a copy and a sum.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, Protocol

from belvedere.metrics.naming import used_names
from belvedere.metrics.workers import records
from belvedere.metrics.workers.merged import ExemplarNow, MergedFamily, MergedSeries
from belvedere.metrics.workers.records import SET_AT, FamilyKey
from belvedere.metrics.workers.segment import Record
from belvedere.metrics.workers.sources import Exemplars

RETIRED: Final = "retired"
"""The name of the source that has what the gone have counted."""
NOWHERE: Final = 0
"""The total that nobody reads: for cells that are not added."""
_RECORDS_AT_ONCE: Final = 200
"""Records after which others may run; each takes some microseconds."""


class Reading(NamedTuple):
    """What a scrape has copied of one source."""

    name: str
    pid: str
    keys_until: int | None
    values: list[float]
    exemplars: Exemplars


class Records(Protocol):
    """Reads the records of one source on from where it left them."""

    def news(self, until: int | None = None) -> list[Record]: ...


class _Known:
    """What is known of a source's cells."""

    def __init__(self, name: str, pid: str, keys: Records) -> None:
        self.name = name
        self.keys = keys
        self.pid = pid
        self.families: dict[int, FamilyKey] = {}
        self.totals: list[int] = []
        self.series: dict[int, tuple[MergedSeries, MergedFamily, list[str]]] = {}
        self.serves: set[str] = set()


class View:
    """What one application shows.

    Args:
        owner: the application.
    """

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._families: dict[FamilyKey, MergedFamily] = {}
        self._sources: dict[str, _Known] = {}
        self._size = 1
        self._free: list[int] = []

    def learn(self, taken: Iterable[tuple[Reading, Records]]) -> None:
        """Find out what the cells of each source are, with a reader of its keys for one that is new.

        While nobody can take the files away: what has been read is of no use without its keys.
        """
        taken = list(taken)
        for gone in self._sources.keys() - {reading.name for reading, _ in taken}:
            self._remove(gone)
        for reading, keys in taken:
            known = self._sources.get(reading.name)
            if known is None:
                known = self._sources[reading.name] = _Known(reading.name, reading.pid, keys)
            self._learn(known, known.keys.news(reading.keys_until))

    def totals(self, taken: Sequence[Reading], served: set[str]) -> list[MergedFamily]:
        """Return all families with their totals as they are now.

        Args:
            taken: the readings that were learnt last.
            served: names of the process's metrics that the application serves; what other workers tell is added.
        """
        totals = [0.0] * self._size
        for reading in taken:
            for at, value in zip(self._sources[reading.name].totals, reading.values, strict=False):
                totals[at] += value
            # The event loop waits for this thread no longer than one source takes.
            time.sleep(0)
        served = served.union(*(known.serves for known in self._sources.values()))
        families = _apart(
            [
                family
                for key, family in self._families.items()
                if family.series and (key.owner or served.intersection(family.served_as))
            ]
        )
        values = {reading.name: reading.values for reading in taken}
        exemplars = self._exemplars(taken)
        for family in families:
            family.now(totals, values, exemplars)
        return families

    def _exemplars(self, readings: Iterable[Reading]) -> dict[int, ExemplarNow]:
        """Return the newest exemplar of each total."""
        newest: dict[int, ExemplarNow] = {}
        for reading in readings:
            totals = self._sources[reading.name].totals
            for cell, labels, value, at in reading.exemplars:
                total = totals[cell] if cell < len(totals) else NOWHERE
                if total != NOWHERE and (total not in newest or newest[total][2] < at):
                    newest[total] = (labels, value, at)
        return newest

    def _learn(self, known: _Known, news: list[Record]) -> None:
        for count, record in enumerate(news):
            if count % _RECORDS_AT_ONCE == 0:
                time.sleep(0)
            if record[0] == "f":
                known.families[record[1]] = records.family_key(record)
            elif record[0] == "s" and record[1] in known.families:
                self._add(known, known.families[record[1]], tuple(record[2]), record[3], record[4])
            elif record[0] == "d":
                self._drop(known, record[1])
            elif record[0] == "r" and record[1] == self._owner:
                known.serves.update(record[2])

    def _add(self, known: _Known, key: FamilyKey, values: tuple[str, ...], cell: int, roles: list[str]) -> None:
        known.totals.extend([NOWHERE] * (cell + len(roles) - len(known.totals)))
        if key.owner not in {"", self._owner}:
            return
        family = self._families.get(key.identity)
        if family is None:
            family = self._families[key.identity] = MergedFamily(key)
        if key.combine == "each":
            values = (*values, known.pid)
        series = family.get(values)
        series.sources += 1
        family.living += known.name != RETIRED
        known.series[cell] = (series, family, roles)
        if key.adds or key.combine in {"sum", "each"}:
            for number, role in enumerate(roles, start=cell):
                total = series.totals.get(role)
                if total is None:
                    total = self._new_total()
                    series.add(role, total)
                known.totals[number] = total
        else:
            stamp = cell + roles.index(SET_AT) if SET_AT in roles else None
            series.choices[known.name, cell] = stamp

    def _drop(self, known: _Known, cell: int) -> None:
        found = known.series.pop(cell, None)
        if found is None:
            return
        series, family, roles = found
        for number in range(cell, cell + len(roles)):
            known.totals[number] = NOWHERE
        series.choices.pop((known.name, cell), None)
        series.sources -= 1
        family.living -= known.name != RETIRED
        if series.sources == 0:
            self._free += series.totals.values()
            family.remove(series)

    def _remove(self, source: str) -> None:
        known = self._sources[source]
        for cell in list(known.series):
            self._drop(known, cell)
        del self._sources[source]

    def _new_total(self) -> int:
        if self._free:
            return self._free.pop()
        self._size += 1
        return self._size - 1


def _apart(families: list[MergedFamily]) -> list[MergedFamily]:
    """Return families of which no two share a name: two versions of a service may differ in the labels of a metric.

    What workers that live count comes first, and what is an application's own before what is the process's.
    """
    taken: set[str] = set()
    apart = []
    for family in sorted(families, key=lambda family: (not family.living, not family.owner)):
        used = [name for base in family.base_names for name in used_names(base, family.kind)]
        if taken.isdisjoint(used):
            taken.update(used)
            apart.append(family)
    return apart
