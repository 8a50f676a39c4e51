"""Cells of this process alone, for what the files have no room for: its own scrapes show them, its siblings' do not."""

from __future__ import annotations

from collections.abc import Sequence

from belvedere.metrics.workers import records
from belvedere.metrics.workers.records import Bound, FamilyKey
from belvedere.metrics.workers.segment import VALUE, Chunk, Record


class Memory:
    """What a segment is, without files; its methods are called by one thread at a time."""

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.records: list[Record] = []
        self._used = 0
        self._families: dict[FamilyKey, int] = {}

    def add(
        self, key: FamilyKey, values: Sequence[str], roles: Sequence[str], bound: Bound | None
    ) -> tuple[int, Chunk]:
        """Return cells for a series: the first one's number, and where they lie."""
        number = self._families.get(key)
        if number is None:
            number = self._families[key] = len(self._families)
            self.records.append(records.family(number, key, bound))
        cell, chunk = self._used, Chunk(memoryview(bytearray(VALUE * len(roles))).cast("d"))
        self._used += len(roles)
        self.chunks.append(chunk)
        self.records.append(records.series(number, values, cell, roles))
        return cell, chunk

    def drop(self, cell: int) -> None:
        """Forget the series that begins at a cell."""
        self.records.append(records.dropped(cell))

    def values(self) -> list[float]:
        """Return the values of all cells, in order."""
        return [value for chunk in self.chunks for value in chunk.view]


class MemoryKeys:
    """The records of a memory, read on from where they were left: see `belvedere.metrics.workers.sources.Keys`."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._read = 0

    def news(self, until: int | None = None) -> list[Record]:
        """Return the records that were added since the last call."""
        news = self._memory.records[self._read : until]
        self._read += len(news)
        return news
