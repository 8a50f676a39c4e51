"""Bounds on label sets: however many values come, a metric keeps a bounded number of series."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from belvedere.conventions import OVERFLOW


class Folded:
    """Counts, per metric, the updates that went to `_overflow` for want of room."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def note(self, metric: str) -> None:
        self.counts[metric] += 1


_LONGEST: Final = 256
"""Characters of a label's value that are kept: twice what a request id may have."""

folded = Folded()
"""Of this process: declared metrics belong to the process."""


class ContextValues:
    """The values that labels from bound context may take: so many of each label.

    Args:
        bounds: label name to the number of values it may have; further ones become `_overflow`.
    """

    def __init__(self, bounds: dict[str, int]) -> None:
        self.names: Sequence[str] = tuple(bounds)
        self._room = dict(bounds)
        self._known: dict[str, set[str]] = {name: {""} for name in bounds}

    def admit(self, bound: dict[str, object] | None) -> tuple[str, ...]:
        """Return a value for each label: `_overflow` where there is no room for another, `""` for unbound context."""
        values = []
        for name in self.names:
            found = None if bound is None else bound.get(name)
            value = "" if found is None else str(found)[:_LONGEST]
            known = self._known[name]
            if value not in known:
                # The empty value is no value, and takes no room.
                if len(known) <= self._room[name]:
                    known.add(value)
                else:
                    value = OVERFLOW
            values.append(value)
        return tuple(values)
