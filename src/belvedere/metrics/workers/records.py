"""The lines of a file of keys: what the cells of a worker are.

`["f", number, owner, [names], kind, help, [labels], combine, bound]`: a family. `owner` is the application it belongs
to, or "" for those of the process; `bound` says how many label sets it may have.
`["s", number, [values], cell, [roles]]`: a series of the family of that number; its cells lie from `cell` on.
`["d", cell]`: the series that begins there is no more.
`["r", owner, [names]]`: metrics of the process that an application serves.

A role says what a cell is: "" the value, "at" when it was set, "sum" or "count", else the upper bound of a bucket.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from belvedere.metrics.workers.segment import Record

Combine = Literal["sum", "max", "min", "latest", "each"]
"""How the values of several workers become one; of `each` there is one per worker, labelled by its `pid`."""

VALUE: Final = ""
SET_AT: Final = "at"
SUM: Final = "sum"
COUNT: Final = "count"


class Bound(NamedTuple):
    """How many label sets a family may have; past that, labels from the one at `first` on become `_overflow`."""

    first: int
    series: int


class FamilyKey(NamedTuple):
    """What a family is, the same in every worker."""

    owner: str
    names: tuple[str, ...]
    kind: str
    documentation: str
    labels: tuple[str, ...]
    combine: Combine

    @property
    def adds(self) -> bool:
        """Whether values of workers are added, those of the dead included: counts of what happened."""
        return self.kind != "gauge"

    @property
    def identity(self) -> FamilyKey:
        """What tells families apart: one that is explained in other words is the same."""
        return self._replace(documentation="")


def family(number: int, key: FamilyKey, bound: Bound | None = None) -> Record:
    return ["f", number, key.owner, key.names, key.kind, key.documentation, key.labels, key.combine, bound]


def series(number: int, values: Sequence[str], cell: int, roles: Sequence[str]) -> Record:
    return ["s", number, values, cell, roles]


def dropped(cell: int) -> Record:
    return ["d", cell]


def serves(owner: str, names: Sequence[str]) -> Record:
    return ["r", owner, names]


def family_key(record: Record) -> FamilyKey:
    _, _, owner, names, kind, documentation, labels, combine, _ = record
    return FamilyKey(owner, tuple(names), kind, documentation, tuple(labels), combine)


def bound(record: Record) -> Bound | None:
    """Return the bound of a family that a record tells."""
    return None if record[8] is None else Bound(*record[8])
