"""`track_time` and `track_count`, on sync and async functions."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary

import belvedere
from tests.metrics.conftest import Clock


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


async def test_the_time_of_a_call_is_observed(clock: Clock, registry: CollectorRegistry) -> None:
    """Sync and async calls alike are timed from beginning to end, whatever they return or take."""
    seconds = Histogram("query_seconds", "Queries.", ["operation", "table"], buckets=[1, 5], registry=registry)

    @belvedere.track_time(seconds, "INSERT", "orders", clock=clock)
    def insert(rows: int, *, fast: bool = False) -> int:
        """Insert rows."""
        clock.seconds += 0.5 if fast else 2
        return rows

    @belvedere.track_time(seconds, "SELECT", "orders", clock=clock)
    async def select(row: int) -> int:
        clock.seconds += 1
        await asyncio.sleep(0)
        clock.seconds += 2
        return row

    assert insert(3) == 3
    assert insert(4, fast=True) == 4
    assert await select(7) == 7
    assert inspect.iscoroutinefunction(select)
    assert (insert.__name__, insert.__doc__) == ("insert", "Insert rows.")
    labels = {"operation": "INSERT", "table": "orders"}
    assert registry.get_sample_value("query_seconds_sum", labels) == 2.5
    assert registry.get_sample_value("query_seconds_count", labels) == 2.0
    assert registry.get_sample_value("query_seconds_bucket", {**labels, "le": "1.0"}) == 1.0
    assert registry.get_sample_value("query_seconds_sum", {**labels, "operation": "SELECT"}) == 3.0


async def test_a_call_that_raises_is_timed_and_not_counted(clock: Clock, registry: CollectorRegistry) -> None:
    """The exception goes on as it is."""
    seconds = Histogram("seconds", "Seconds.", registry=registry)
    calls = Counter("calls", "Calls.", registry=registry)
    error = LookupError("row 7")

    @belvedere.track_time(seconds, clock=clock)
    @belvedere.track_count(calls)
    def fail() -> None:
        clock.seconds += 2
        raise error

    @belvedere.track_time(seconds, clock=clock)
    @belvedere.track_count(calls)
    async def fail_later() -> None:
        clock.seconds += 3
        raise error

    with pytest.raises(LookupError) as sync:
        fail()
    with pytest.raises(LookupError) as later:
        await fail_later()
    assert sync.value is later.value is error
    assert registry.get_sample_value("seconds_sum") == 5.0
    assert registry.get_sample_value("calls_total") == 0.0


async def test_calls_that_succeed_are_counted(registry: CollectorRegistry) -> None:
    """A call counts once it has returned; a cancelled one does not."""
    calls = Counter("calls", "Calls.", ["channel"], registry=registry)

    @belvedere.track_count(calls, "web")
    def place() -> str:
        return "placed"

    @belvedere.track_count(calls, "app")
    async def place_later() -> str:
        return "placed"

    @belvedere.track_count(calls, "never")
    async def wait() -> None:
        await asyncio.Event().wait()

    assert (place(), place(), await place_later()) == ("placed", "placed", "placed")
    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    counts = {name: registry.get_sample_value("calls_total", {"channel": name}) for name in ("web", "app", "never")}
    assert counts == {"web": 2.0, "app": 1.0, "never": 0.0}


async def test_concurrent_calls_are_timed_each_by_itself(clock: Clock, registry: CollectorRegistry) -> None:
    """Calls that overlap do not share a beginning."""
    seconds = Histogram("seconds", "Seconds.", registry=registry)
    go = asyncio.Event()

    @belvedere.track_time(seconds, clock=clock)
    async def wait() -> None:
        await go.wait()

    tasks = []
    for _ in range(3):
        tasks.append(asyncio.create_task(wait()))
        await asyncio.sleep(0)
        clock.seconds += 1
    go.set()
    await asyncio.gather(*tasks)
    assert registry.get_sample_value("seconds_sum") == 6.0


def test_methods_and_other_metrics_can_be_tracked(clock: Clock, registry: CollectorRegistry) -> None:
    """A summary is timed, a gauge keeps the last time or counts, a labelled child is taken as it is."""
    summary = Summary("s", "S.", registry=registry)
    last = Gauge("last_seconds", "Last.", registry=registry)
    calls = Gauge("calls", "Calls.", ["kind"], registry=registry)

    class Service:
        @belvedere.track_time(summary, clock=clock)
        @belvedere.track_time(last, clock=clock)
        @belvedere.track_count(calls.labels("a"))
        def run(self, seconds: float) -> None:
            clock.seconds += seconds

    Service().run(2)
    Service().run(1)
    assert registry.get_sample_value("s_sum") == 3.0
    assert registry.get_sample_value("last_seconds") == 1.0
    assert registry.get_sample_value("calls", {"kind": "a"}) == 2.0


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ((), r"has the labels operation, table; 0 values given: \(none\)"),
        (("INSERT",), r"has the labels operation, table; 1 value given: 'INSERT'"),
        (("a", "b", "c"), r"3 values given: 'a', 'b', 'c'"),
    ],
)
def test_wrong_labels_raise_where_they_are_written(labels: tuple[str, ...], message: str) -> None:
    """When the function is decorated, not when it is called."""
    seconds: Any = belvedere.histogram("query_seconds", "Queries.", ["operation", "table"])
    calls: Any = belvedere.counter("queries", "Queries.", ["operation", "table"])
    with pytest.raises(ValueError, match=message):
        belvedere.track_time(seconds, *labels)
    with pytest.raises(ValueError, match=message):
        belvedere.track_count(calls, *labels)


def test_a_metric_of_the_wrong_kind_raises() -> None:
    """A counter cannot be timed, a histogram cannot count."""
    with pytest.raises(TypeError, match="track_time needs a histogram, not"):
        belvedere.track_time(belvedere.counter("calls", "Calls."))
    with pytest.raises(TypeError, match="track_count needs a counter, not"):
        belvedere.track_count(belvedere.histogram("seconds", "Seconds."))


def test_a_declared_histogram_times_a_block() -> None:
    """prometheus-client's own context manager and decorator work on declared metrics."""
    seconds = belvedere.histogram("block_seconds", "Blocks.", ["operation"])
    with seconds.labels("load").time():
        pass

    def load() -> None: ...

    seconds.labels("load").time()(load)()
    (metric,) = seconds.collect()
    assert [sample.value for sample in metric.samples if sample.name == "block_seconds_count"] == [2.0]
