"""Where the cells of new series lie: in the segment of this process while it has one, else in lists of their own."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from itertools import count

from prometheus_client.samples import Exemplar

from belvedere import failures
from belvedere.metrics.families import Cells, Family, Series
from belvedere.metrics.workers import records
from belvedere.metrics.workers.memory import Memory
from belvedere.metrics.workers.records import Bound, FamilyKey
from belvedere.metrics.workers.segment import Chunk, Record, Segment
from belvedere.metrics.workers.sources import Exemplars


class Placing:
    """Gives cells in one segment, and tells siblings what they are.

    Where there is no more room, cells are of this process alone: it counts on, its own scrapes show it, and siblings
    do not see it.
    """

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.memory = Memory()
        self.exemplars: dict[int, Exemplar] = {}
        self._families: dict[FamilyKey, int] = {}
        self._numbers = count()
        # Series are made by any thread; again by this one, where a signal or a finaliser comes in between.
        self._lock = threading.RLock()
        self._dropped: deque[int] = deque()

    def cells(
        self, key: FamilyKey, values: Sequence[str], roles: Sequence[str], bound: Bound | None = None
    ) -> tuple[int, Chunk, int]:
        """Return cells for a series, told to the siblings: the first one's number, its chunk, its place in that.

        The number is negative for cells of this process alone.
        """
        with self._lock:
            try:
                cell, chunk, at = self.segment.allocate(len(roles))
                number = self._families.get(key)
                if number is None:
                    number = next(self._numbers)
                    self.segment.tell(records.family(number, key, bound), records.series(number, values, cell, roles))
                    self._families[key] = number
                else:
                    self.segment.tell(records.series(number, values, cell, roles))
            except (OSError, ValueError, TypeError) as error:
                cell, chunk = self.memory.add(key, values, roles, bound)
                cell, at = -1 - cell, 0
                # Who has left shows nothing to siblings any more: a signal may tell to leave while others count.
                failure: Exception | None = None if self.segment.closed else error
            else:
                failure = None
        if failure is not None:
            failures.contain("metrics", failure)
        return cell, chunk, at

    def leave(self) -> None:
        """Let go of the segment: what is counted from now on is this process's alone."""
        with self._lock:
            self.segment.leave()
            self.segment.close()

    def tell(self, record: Record) -> None:
        """Tell siblings something else.

        Raises:
            OSError: there is no room.
        """
        with self._lock:
            self.segment.tell(record)

    def exemplars_now(self) -> Exemplars:
        """Return the exemplars of prometheus-client's metrics."""
        return [
            (cell, dict(exemplar.labels), exemplar.value, float(exemplar.timestamp or 0.0))
            for cell, exemplar in list(self.exemplars.items())
            if cell >= 0
        ]

    def drop(self, cell: int) -> None:
        """Tell that the series which begins at a cell is no more.

        Never waits: finalisers call it, whatever the thread holds that they come up in.
        """
        if self.segment.closed:
            return
        self._dropped.append(cell)
        if self._lock.acquire(blocking=False):
            try:
                self._tell_dropped()
            except OSError:
                pass  # Told later, or counted by whoever tries that.
            finally:
                self._lock.release()

    def flush(self) -> None:
        """Tell what could not be told at once.

        Raises:
            OSError: there is no room.
        """
        with self._lock:
            self._tell_dropped()

    def _tell_dropped(self) -> None:
        while self._dropped and not self.segment.closed:
            cell = self._dropped[0]
            if cell < 0:
                self.memory.drop(-1 - cell)
            else:
                self.exemplars.pop(cell, None)
                self.segment.tell(records.dropped(cell))
            self._dropped.popleft()


class FamilyPlacing:
    """A `Home` for families of one owner: see `belvedere.metrics.families`."""

    def __init__(self, placing: Placing, owner: str) -> None:
        self._placing = placing
        self._owner = owner
        self._at: dict[int, int] = {}

    def move_in(self, family: Family, values: tuple[str, ...], series: Series) -> None:
        key = FamilyKey(
            self._owner, family.names, family.kind, family.documentation, family.label_names, family.combine
        )
        bound = None if family.max_series is None else Bound(family.first_foldable, family.max_series)
        cell, chunk, at = self._placing.cells(key, values, family.roles, bound)
        cells: Cells = chunk.view[at : at + len(series.cells)]
        for number, value in enumerate(series.cells):
            cells[number] = value
        series.cells = cells
        self._at[id(series)] = cell

    def move_out(self, series: Series) -> None:
        cell = self._at.pop(id(series), None)
        if cell is not None:
            self._placing.drop(cell)
        series.cells = list(series.cells)

    def leave_behind(self, family: Family) -> None:
        """Leave what a family has counted where siblings see it; it goes on from 0 in memory of its own."""
        for series in family.series.values():
            self._at.pop(id(series), None)
            series.cells = [0.0] * len(series.cells)

    def exemplars(self, family: Family) -> Exemplars:
        """Return the exemplars of a family that lives here."""
        found: Exemplars = []
        for series in list(family.series.values()):
            cell = self._at.get(id(series), -1)
            if cell >= 0 and any(series.exemplars):
                for number in range(len(series.cells)):
                    if (exemplar := series.exemplar(number)) is not None:
                        trace_id, value, at = exemplar
                        found.append((cell + number, {"trace_id": trace_id}, value, at))
        return found
