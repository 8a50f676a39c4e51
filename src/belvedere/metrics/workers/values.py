"""The values of prometheus-client's own metrics, put where siblings can read them.

Its metric classes ask `prometheus_client.values.ValueClass` for each value. Ours takes that place while this process is
one of several workers; what was made before is exchanged. Measured per call: 0.3 µs an increment, as with plain values,
where prometheus-client's own mode for several processes takes 0.9.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

import prometheus_client
from prometheus_client import values as theirs
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

from belvedere import failures
from belvedere.metrics.workers.placing import Placing
from belvedere.metrics.workers.records import COUNT, SET_AT, SUM, VALUE, Bound, Combine, FamilyKey
from belvedere.metrics.workers.segment import Chunk

_go: Callable[[float], str] = floatToGoString
_METRICS: Final = (
    prometheus_client.Counter,
    prometheus_client.Gauge,
    prometheus_client.Histogram,
    prometheus_client.Summary,
)
_COMBINE: Final[dict[str, Combine]] = {"max": "max", "min": "min", "mostrecent": "latest", "all": "each"}
"""prometheus-client's modes of gauges; those that do not count are added."""

_owner: ContextVar[tuple[str | None, Bound | None]] = ContextVar("belvedere_metric_owner", default=("", None))


@contextmanager
def owned_by(owner: str | None, max_series: int | None = None) -> Iterator[None]:
    """Have metrics made in the block belong to an application (`""`: the process), or to this worker alone (`None`).

    Args:
        owner: whose they are.
        max_series: the bound on the label sets of each.
    """
    token = _owner.set((owner, None if max_series is None else Bound(0, max_series)))
    try:
        yield
    finally:
        _owner.reset(token)


class Value:
    """One value: a cell of the segment, or of memory that is this process's alone.

    Args:
        placing: where it is put; `None`: in this process's memory.
        key: its family.
        values: of the labels.
        role: what it is in its series.
        bound: on the label sets of its family.
    """

    __slots__ = ("_at", "_cell", "_chunk", "_exemplar", "_placing")

    def __init__(
        self, placing: Placing | None, key: FamilyKey, values: Sequence[str], role: str, bound: Bound | None = None
    ) -> None:
        self._exemplar: Exemplar | None = None
        self._placing = placing
        if placing is None:
            self._cell, self._chunk, self._at = -1, Chunk([0.0, 0.0]), 0
        else:
            self._cell, self._chunk, self._at = placing.cells(key, values, self._roles(role), bound)

    def inc(self, amount: float) -> None:
        # No lock: CPython switches threads only at calls and backward jumps, of which this has none.
        self._chunk.view[self._at] += amount

    def set(self, value: float, timestamp: float | None = None) -> None:
        self._chunk.view[self._at] = value

    def get(self) -> float:
        value: float = self._chunk.view[self._at]
        return value

    def set_exemplar(self, exemplar: Exemplar) -> None:
        self._exemplar = exemplar
        if self._cell >= 0 and self._placing is not None:
            self._placing.exemplars[self._cell] = exemplar

    @property
    def placing(self) -> Placing | None:
        """Where it is put; `None`: in this process's memory."""
        return self._placing

    def get_exemplar(self) -> Exemplar | None:
        return self._exemplar

    def _roles(self, role: str) -> tuple[str, ...]:
        return (role,)

    def __del__(self) -> None:
        # A label set that was removed is gone for siblings too.
        if self._placing is not None:
            self._placing.drop(self._cell)


class StampedValue(Value):
    """A value of which one worker's is chosen: it tells when it was set, as one that never was is no candidate."""

    __slots__ = ()

    def inc(self, amount: float) -> None:
        view = self._chunk.view
        view[self._at] += amount
        view[self._at + 1] = time.time()

    def set(self, value: float, timestamp: float | None = None) -> None:
        view = self._chunk.view
        view[self._at] = value
        view[self._at + 1] = timestamp or time.time()

    def _roles(self, role: str) -> tuple[str, ...]:
        return (role, SET_AT)


_placing: Placing | None = None
"""Where values are put now."""
_before: Any = None


def put(placing: Placing | None) -> None:
    """Put all values that are made from now on into a segment; `None`: leave them to prometheus-client again."""
    global _placing, _before
    if placing is not None and _placing is None:
        _before, theirs.ValueClass = theirs.ValueClass, _value
    elif placing is None and theirs.ValueClass is _value:
        theirs.ValueClass = _before
    _placing = placing


def _value(  # noqa: PLR0917 - as prometheus-client calls it
    kind: str,
    metric_name: str,
    name: str,
    labelnames: Sequence[str],
    labelvalues: Sequence[str],
    help_text: str,
    multiprocess_mode: str = "",
    **_: Any,
) -> Value:
    """Return a new value; its arguments are those of prometheus-client's classes of values."""
    role, labels, values = VALUE, tuple(labelnames), tuple(labelvalues)
    if kind == "histogram" and name.endswith("_bucket"):
        role, labels, values = values[-1], labels[:-1], values[:-1]
    elif kind in {"histogram", "summary"}:
        role = COUNT if name.endswith("_count") else SUM
    combine: Combine = _COMBINE.get(multiprocess_mode.removeprefix("live"), "sum")
    called = f"{metric_name}_total" if kind == "counter" else metric_name
    owner, bound = _owner.get()
    key = FamilyKey(owner or "", (called,), kind, help_text, labels, combine)
    make = StampedValue if combine in {"max", "min", "latest"} else Value
    return make(None if owner is None else _placing, key, values, role, bound)


def exchange(metric: Any) -> None:
    """Put the values of a metric that was made before where its owner's are put now; a count goes on from where it is.

    What another segment had was told there, and starts at 0; what is where it belongs stays.
    """
    if _placing is not None and isinstance(metric, _METRICS):
        with owned_by(getattr(metric, "owner", ""), getattr(metric, "max_series", None)):
            for child in [metric, *list(getattr(metric, "_metrics", {}).values())]:
                _exchange(child)


def placed(collector: Any) -> bool:
    """Whether siblings see what a collector collects: a metric of prometheus-client, and not one worker's alone."""
    return isinstance(collector, _METRICS) and getattr(collector, "owner", "") is not None


def functions(metrics: Iterable[Any]) -> None:
    """Bring gauges up to date that take their value from a function: siblings cannot call it."""
    for metric in metrics:
        if isinstance(metric, prometheus_client.Gauge) and placed(metric):
            for child in [metric, *list(getattr(metric, "_metrics", {}).values())]:
                if "_child_samples" in vars(child):
                    _ask(child)


def _ask(child: Any) -> None:
    try:
        for sample in child._child_samples():
            child._value.set(sample.value, time.time())
    except Exception as error:  # the user's function may raise anything; the last value stays
        failures.contain("metrics", error)


def _exchange(child: Any) -> None:
    called = "_total" if child._type == "counter" else ""
    for attribute, suffix in (("_value", called), ("_sum", "_sum"), ("_count", "_count")):
        if (old := vars(child).get(attribute)) is not None:
            setattr(child, attribute, _new(child, old, suffix))
    buckets = vars(child).get("_buckets")
    if buckets:
        for number, (old, bound) in enumerate(zip(list(buckets), child._upper_bounds, strict=True)):
            buckets[number] = _new(child, old, "_bucket", le=_go(bound))


def _new(child: Any, old: Any, suffix: str, **more: str) -> Value:
    if isinstance(old, Value) and old.placing is (None if _owner.get()[0] is None else _placing):
        return old
    value = _value(
        child._type,
        child._name,
        f"{child._name}{suffix}",
        (*child._labelnames, *more),
        (*child._labelvalues, *more.values()),
        child._documentation,
        getattr(child, "_multiprocess_mode", ""),
    )
    if not isinstance(old, Value) and (count := old.get()):
        value.set(count)
    return value
