"""Where the cells of new series lie: in the segment of this process while it has one, else in lists of their own."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client.samples import Exemplar

from belvedere import failures
from belvedere.metrics.families import Cells, Family, Series
from belvedere.metrics.workers import records
from belvedere.metrics.workers.records import FamilyKey
from belvedere.metrics.workers.segment import Chunk, Segment
from belvedere.metrics.workers.sources import Exemplars


class Placing:
    """Gives cells in one segment, and tells siblings what they are.

    Where there is no more room, cells are of this process alone: it counts on, and siblings do not see it.
    """

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.exemplars: dict[int, Exemplar] = {}
        self._families: dict[FamilyKey, int] = {}

    def cells(self, key: FamilyKey, values: Sequence[str], roles: Sequence[str]) -> tuple[int, Chunk, int]:
        """Return cells for a series, told to the siblings: the first one's number, its chunk, its place in that."""
        try:
            cell, chunk, at = self.segment.allocate(len(roles))
            told = []
            number = self._families.get(key)
            if number is None:
                number = self._families[key] = len(self._families)
                told.append(records.family(number, key))
            self.segment.tell(*told, records.series(number, values, cell, roles))
        except (OSError, ValueError, TypeError) as error:
            failures.contain("metrics", error)
            return -1, Chunk([0.0] * len(roles)), 0
        return cell, chunk, at

    def exemplars_now(self) -> Exemplars:
        """Return the exemplars of prometheus-client's metrics."""
        return [
            (cell, dict(exemplar.labels), exemplar.value, float(exemplar.timestamp or 0.0))
            for cell, exemplar in list(self.exemplars.items())
            if cell >= 0
        ]

    def drop(self, cell: int) -> None:
        """Tell that the series which begins at a cell is no more."""
        self.exemplars.pop(cell, None)
        if cell >= 0 and not self.segment.closed:
            try:
                self.segment.tell(records.dropped(cell))
            except OSError as error:
                failures.contain("metrics", error)


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
        cell, chunk, at = self._placing.cells(key, values, family.roles)
        cells: Cells = chunk.view[at : at + len(series.cells)]
        for number, value in enumerate(series.cells):
            cells[number] = value
        series.cells = cells
        self._at[id(series)] = cell

    def move_out(self, series: Series) -> None:
        self._placing.drop(self._at.pop(id(series), -1))
        series.cells = list(series.cells)

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
