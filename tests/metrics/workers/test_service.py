"""Several workers without a server: what each of them shows of all, whatever is counted and whoever comes and goes."""

from __future__ import annotations

import gc
import os
import signal
import threading
from importlib.metadata import version
from typing import Any

import prometheus_client
import pytest
from fastapi import FastAPI
from prometheus_client import values

import belvedere
from belvedere.metrics.workers import workers
from tests.metrics.workers.processes import Inside, Service

ODD = ['a"b', "a\nb", "a\\b", "", "ü€😀", "a,b={}", "x" * 3000]


def _order(inside: Inside, times: int = 1) -> None:
    for _ in range(times):
        inside.get("/orders/7")


def _count(inside: Inside, name: str, label: str | None = None, amount: float = 1.0) -> None:
    metric = belvedere.counter(name, "Things.", [] if label is None else ["thing"])
    (metric if label is None else metric.labels(label)).inc(amount)


def _beat(inside: Inside) -> None:
    """Do what a worker does every second."""
    workers.publish()


def _remove(inside: Inside) -> list[bool]:
    inside.obs.remove()
    return [values.ValueClass.__module__ == "prometheus_client.values"]


def test_each_worker_shows_all(service: Service) -> None:
    """Requests counted in two workers are one sum in both."""
    one, two = service.worker(), service.worker()
    one(_order, 3)
    two(_order, 4)
    for worker in (one, two):
        assert list(worker.samples("http_requests_total").values()) == [7]
        assert worker.samples("http_request_duration_seconds_count") == {
            'http_request_duration_seconds_count{endpoint="/orders/{number}",method="GET"}': 7
        }


def test_counts_outlive_whoever_made_them(service: Service) -> None:
    """Killed or gone by itself, a worker leaves its counts; the sum goes on from there, and its gauges are gone."""
    one, two = service.worker(), service.worker()
    one(_order, 3)
    two(_order, 4)
    two(_in_progress, 5)
    two(_beat)
    assert sum(one.samples("open_jobs").values()) == 5
    two.kill()
    assert list(one.samples("http_requests_total").values()) == [7]
    assert one.samples("open_jobs") in ({}, {"open_jobs": 0.0})
    three = service.worker()
    three(_order, 2)
    assert list(three.samples("http_requests_total").values()) == [9]
    assert one(_remove) == [True]
    assert list(three.samples("http_requests_total").values()) == [9]
    assert len(list(service.folder.iterdir())) <= len(
        ["lock", "retired", "retired.keys", "values", "keys", "exemplars"]
    )


def _in_progress(inside: Inside, number: float) -> None:
    belvedere.gauge("open_jobs", "Open jobs.").set(number)


def test_a_label_that_is_no_utf_8_neither_breaks_counting_nor_a_scrape(service: Service) -> None:
    """Quotes, newlines, half of a surrogate pair as the first and as a later label set: all are counted and shown."""
    one, two = service.worker(), service.worker()
    for label in ["\udc80", *ODD]:
        one(_count, "odd_total", label)
        two(_count, "odd_total", label)
    one(_count, "after_total")
    two(_count, "after_total")
    for worker in (one, two):
        shown = worker.samples("odd_total", "after_total")
        assert shown["after_total"] == 2
        assert sum(shown.values()) == 2 + 2 * (len(ODD) + 1)
    one.kill()
    assert sum(two.samples("odd_total", "after_total").values()) == 2 + 2 * (len(ODD) + 1)


def _import_time(inside: Inside) -> None:
    inside.more["early"] = prometheus_client.Counter("early", "Made before.", ["x"])
    inside.more["early"].labels("a").inc(5)


def _second(inside: Inside, path: str = "") -> dict[str, float]:
    second = FastAPI()

    @second.get("/carts/{number}")
    async def cart(number: int) -> int:
        return number

    inside.more["second"] = second
    inside.more["obs"] = inside.observe(second)
    if path:
        inside.app.mount(path, second)
    else:
        inside.get("/carts/3", second)
    return inside.scrape(app=second).samples("http_requests_total", "early_total")


def test_a_second_application_keeps_what_the_process_has_counted(service: Service) -> None:
    """Two applications in one process share its metrics, which go on from where they are, and keep their own apart."""
    one, two = service.worker(), service.worker()
    for worker in (one, two):
        worker(_import_time)
        worker(_order, 2)
    for worker in (one, two):
        worker(_second)
    for worker in (one, two):
        shown = worker(_scrape_second)
        assert shown == {
            'early_total{x="a"}': 10,
            'http_requests_total{endpoint="/carts/{number}",method="GET",status="200"}': 2,
        }
        assert worker.samples("http_requests_total") == {
            'http_requests_total{endpoint="/orders/{number}",method="GET",status="200"}': 4
        }


def _scrape_second(inside: Inside) -> dict[str, float]:
    return inside.scrape(app=inside.more["second"]).samples("http_requests_total", "early_total")


def _remove_second(inside: Inside) -> None:
    inside.more["obs"].remove()


def test_an_application_that_is_taken_off_leaves_its_counts(service: Service) -> None:
    """Of two applications one is removed: what it had counted stays in the sum that the other workers show."""
    one, two = service.worker(), service.worker()
    for worker in (one, two):
        worker(_second)
    one(_remove_second)
    assert sum(two(_scrape_second).values()) == 2
    one(_order, 1)
    assert sum(two.samples("http_requests_total").values()) == 1


def test_one_that_only_one_worker_has_ever_declared_stays(service: Service) -> None:
    """A metric that one worker declares late is shown by the others, also when that worker is gone."""
    one, two = service.worker(), service.worker()
    one(_count, "late_total", "x", 4.0)
    one(_beat)
    assert two.samples("late_total") == {'late_total{thing="x"}': 4}
    one.kill()
    assert two.samples("late_total") == {'late_total{thing="x"}': 4}


def _drop(inside: Inside) -> None:
    belvedere.counter("dropped_total", "Things.", ["thing"]).remove("a")


def _clear(inside: Inside) -> None:
    belvedere.counter("dropped_total", "Things.", ["thing"]).clear()


def test_label_sets_that_are_removed(service: Service) -> None:
    """A label set that a worker removes is no longer counted; made again, it begins at 0."""
    one, two = service.worker(), service.worker()
    for worker in (one, two):
        worker(_count, "dropped_total", "a", 3.0)
        worker(_count, "dropped_total", "b", 3.0)
    one(_drop)
    assert two.samples("dropped_total") == {'dropped_total{thing="a"}': 3, 'dropped_total{thing="b"}': 6}
    one(_count, "dropped_total", "a", 2.0)
    assert two.samples("dropped_total") == {'dropped_total{thing="a"}': 5, 'dropped_total{thing="b"}': 6}
    one(_clear)
    assert two.samples("dropped_total") == {'dropped_total{thing="a"}': 3, 'dropped_total{thing="b"}': 3}
    two(_clear)
    assert one.samples("dropped_total") == {}


def _gauge(inside: Inside, combine: Any, value: float) -> None:
    belvedere.gauge(f"g_{combine}", "A gauge.", combine=combine).set(value)


def test_gauges_combine_as_declared(service: Service) -> None:
    """Sum, max, min and latest of those that live and have set it."""
    one, two = service.worker(), service.worker()
    for combine, (first, second) in {"sum": (2, 3), "max": (-2, -3), "min": (2, 3), "latest": (9, 1)}.items():
        one(_gauge, combine, first)
        two(_gauge, combine, second)
    service.worker()
    names = ("g_sum", "g_max", "g_min", "g_latest")
    assert one.samples(*names) == two.samples(*names) == {"g_sum": 5, "g_max": -2, "g_min": 2, "g_latest": 1}
    two(_second)
    assert one.samples(*names) == {"g_sum": 5, "g_max": -2, "g_min": 2, "g_latest": 1}
    one.kill()
    assert two.samples(*names) == {"g_sum": 3, "g_max": -3, "g_min": 3, "g_latest": 1}


def _in_a_cycle(inside: Inside) -> None:
    """Make label sets whose values die in the garbage collector, while others are being made."""
    metric = belvedere.gauge("cyclic", "A gauge.", ["x"], combine="max", max_series=100_000)
    gc.collect()
    before = gc.get_threshold()
    gc.set_threshold(5)
    try:
        for number in range(500):
            child: Any = metric.labels(number)
            child.self = child
            child.set(number)
            metric.remove(number)
    finally:
        gc.set_threshold(*before)


def test_series_that_end_in_the_garbage_collector(service: Service) -> None:
    """Finalisers come up anywhere, in the middle of telling another series too: nothing waits for itself."""
    one, two = service.worker(), service.worker()
    one(_in_a_cycle)
    one(gc_collect)
    one.samples("cyclic")
    assert two.samples("cyclic") == {}


def gc_collect(inside: Inside) -> None:
    gc.collect()


def _from_threads(inside: Inside) -> None:
    barrier = threading.Barrier(8)

    def count(thread: int) -> None:
        barrier.wait()
        for number in range(300):
            belvedere.counter(f"threads_{number % 20}_total", "Things.", ["x"]).labels(number).inc()
            prometheus_client.Histogram(
                f"own_{thread}_{number % 300}", "Own.", registry=inside.more["registry"]
            ).observe(1)

    inside.more["registry"] = prometheus_client.CollectorRegistry()
    threads = [threading.Thread(target=count, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        inside.scrape()
    for thread in threads:
        thread.join()


def test_metrics_made_by_threads_while_it_is_scraped(service: Service) -> None:
    """Eight threads make label sets and metrics at once, during scrapes: none is lost, none takes another's place."""
    one, two = service.worker(), service.worker()
    one(_from_threads)
    names = [f"threads_{number}_total" for number in range(20)]
    shown = two.samples(*names)
    assert sum(shown.values()) == 8 * 300
    assert set(shown.values()) == {8}
    assert len(shown) == 300


def _fork(inside: Inside) -> int:
    child = os.fork()
    if not child:
        try:
            belvedere.counter("forked_total", "Things.").inc(100)
            belvedere.counter("forked_total", "Things.").inc(100)
            signal.pause()
        finally:
            os._exit(0)
    return child


def test_a_child_that_a_worker_forks(service: Service) -> None:
    """It counts for itself, and does not keep its worker alive when that is killed."""
    one, two = service.worker(), service.worker()
    one(_count, "forked_total")
    one(_in_progress, 3)
    one(_beat)
    child = one(_fork)
    try:
        assert two.samples("forked_total") == {"forked_total": 1}
        assert one.samples("forked_total", "open_jobs") == {"forked_total": 1, "open_jobs": 3}
        one.kill()
        assert two.samples("forked_total") == {"forked_total": 1}
        assert two.samples("open_jobs") == {}
    finally:
        os.kill(child, signal.SIGKILL)


def _user_metric_of_our_name(inside: Inside) -> None:
    prometheus_client.Counter("http_requests", "The user's own.").inc(1000)


def _labelled(inside: Inside, label: str) -> None:
    prometheus_client.Counter("versions", "Of this version.", [label]).labels("x").inc()


def test_names_that_meet(service: Service) -> None:
    """Ours before a user's of the same name; of two versions that label a metric differently, one is shown."""
    one, two = service.worker(), service.worker()
    one(_user_metric_of_our_name)
    one(_labelled, "a")
    two(_order, 2)
    two(_labelled, "b")
    for worker in (one, two):
        assert list(worker.samples("http_requests_total").values()) == [2]
        assert len(worker.samples("versions_total")) == 1
    one.kill()
    assert two.samples("versions_total") == {'versions_total{b="x"}': 1}


def _odd_name(inside: Inside) -> None:
    prometheus_client.Counter("odd.name", "Dotted.", ["a.b"]).labels("x").inc()


@pytest.mark.skipif(
    version("prometheus-client") < "0.22", reason="prometheus-client refuses such names itself before 0.22"
)
def test_names_that_not_every_reader_takes(service: Service) -> None:
    """They are written as a worker by itself would write them."""
    one, two = service.worker(), service.worker()
    one(_odd_name)
    two(_odd_name)
    assert one.samples("odd_name_total") == {'odd_name_total{a_b="x"}': 2}


def _infinite(inside: Inside) -> None:
    histogram = belvedere.histogram("h_seconds", "Seconds.", buckets=[1.0])
    histogram.observe(float("inf"), {"trace_id": "a"})
    histogram.observe(0.5, {"trace_id": "b"})


def _openmetrics(inside: Inside) -> list[tuple[str, float, Any]]:
    shown = inside.scrape(openmetrics=True)
    return [
        (sample.labels["le"], sample.value, sample.exemplar and sample.exemplar.labels)
        for family in shown.families
        for sample in family.samples
        if sample.name == "h_seconds_bucket"
    ]


def test_exemplars_that_have_no_form(service: Service) -> None:
    """An infinite one is left out, and the rest is read."""
    one, two = service.worker(), service.worker()
    one(_infinite)
    one(_openmetrics)
    assert two(_openmetrics) == [("1.0", 1.0, {"trace_id": "b"}), ("+Inf", 2.0, None)]


def test_two_services_of_one_parent(service: Service) -> None:
    """They do not mix, though the same process started them."""
    one, two = service.worker("shop"), service.worker("bank")
    one(_order, 1)
    two(_order, 2)
    assert list(one.samples("http_requests_total").values()) == [1]
    assert list(two.samples("http_requests_total").values()) == [2]
    assert len(list(service.place.iterdir())) == 2
