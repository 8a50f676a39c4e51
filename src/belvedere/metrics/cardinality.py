"""Bounds on label sets: however many values come, a metric keeps a bounded number of series."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from belvedere.conventions import OVERFLOW


class Folded:
    """Counts, per metric, the updates that went to `_overflow` for want of room."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def note(self, metric: str) -> None:
        self.counts[metric] += 1


folded = Folded()
"""Of this process: declared metrics belong to the process."""


class ContextValues:
    """The values that labels from bound context may take: so many of each label, and so many label sets in all.

    Args:
        bounds: label name to the number of values it may have; further ones become `_overflow`.
    """

    def __init__(self, bounds: dict[str, int]) -> None:
        self.names: Sequence[str] = tuple(bounds)
        self._room = {name: bound for name, bound in bounds.items()}
        self._known: dict[str, set[str]] = {name: {""} for name in bounds}

    def admit(self, bound: dict[str, object] | None) -> tuple[tuple[str, ...], bool]:
        """Return a value for each label, and whether one had to be folded; unbound context is `""`."""
        values = []
        overflowed = False
        for name in self.names:
            value = "" if bound is None else str(bound.get(name, ""))
            known = self._known[name]
            if value not in known:
                # The empty value is no value, and takes no room.
                if len(known) <= self._room[name]:
                    known.add(value)
                else:
                    value = OVERFLOW
                    overflowed = True
            values.append(value)
        return tuple(values), overflowed
