"""Workers that leave while others, or nobody, go on: taken off, or at the end of their lifespan."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import prometheus_client
from fastapi import FastAPI
from prometheus_client import values

import belvedere
from belvedere import failures
from belvedere.metrics.workers import workers
from belvedere.metrics.workers.records import VALUE, FamilyKey
from tests.drive import running
from tests.metrics.workers.processes import Inside, Service


def _order(inside: Inside, times: int = 1) -> None:
    for _ in range(times):
        inside.get("/orders/7")


def _remove(inside: Inside) -> list[bool]:
    inside.obs.remove()
    return [values.ValueClass.__module__ == "prometheus_client.values"]


def _observes_again(inside: Inside) -> dict[str, float]:
    inside.obs = inside.observe(inside.app)
    inside.get("/orders/7")
    return inside.scrape().samples("http_requests_total")


def test_taken_off_and_put_on_again(service: Service) -> None:
    """What was counted before `remove()` is counted once."""
    one, two = service.worker(), service.worker()
    one(_order, 3)
    two(_order, 1)
    assert one(_remove) == [True]
    assert list(one(_observes_again).values()) == [5]
    assert list(two.samples("http_requests_total").values()) == [5]


def test_the_last_to_be_taken_off_leaves_nothing(service: Service, tmp_path: Path) -> None:
    """Without a server that could start another, the folder goes with its last worker; the place stays usable."""
    one, two = service.worker(), service.worker()
    one(_order)
    assert one(_remove) == [True]
    assert two(_remove) == [True]
    assert not service.place.exists()
    service.place.mkdir(mode=0o700)
    three = service.worker()
    three(_order)
    assert list(three.samples("http_requests_total").values()) == [1]


def _as_below_a_server(inside: Inside) -> None:
    """Be observed where somebody handles SIGTERM, as servers do."""
    inside.obs.remove()
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    inside.obs = inside.observe(inside.app)
    inside.get("/healthz")


def test_the_last_to_be_taken_off_leaves_nothing_though_the_server_goes_on(service: Service) -> None:
    """Nobody will come after a worker that was not told to stop, and is no longer observed."""
    one, two = service.worker(), service.worker()
    for worker in (one, two):
        worker(_as_below_a_server)
        worker(_order)
    assert one(_remove) == [True]
    assert list(two.samples("http_requests_total").values()) == [2]
    assert two(_remove) == [True]
    assert not service.place.exists()


def _told_while_it_counts(inside: Inside) -> dict[str, int]:
    """Return what fails where series are made while a SIGTERM has the worker leave."""
    orders = belvedere.counter("orders_total", "Orders.", ["number"])
    member = workers.membership
    assert member is not None
    os.kill(os.getpid(), signal.SIGTERM)
    number = 0
    while workers.membership is member or any(thread.name == "belvedere-leave" for thread in threading.enumerate()):
        orders.labels(str(number)).inc()
        number += 1
    # As a thread does that was about to, when the other one was quicker.
    member._placing.cells(FamilyKey("", ("late",), "counter", "", ("number",), "sum"), ("1",), (VALUE,))
    assert inside.get("/orders/7").status == 200
    return dict(failures.counts)


def test_told_to_stop_while_it_counts(service: Service) -> None:
    """A worker that is told to before its lifespan begins leaves in a thread; what counts beside that fails nobody."""
    one, two = service.worker(), service.worker()
    one(_as_below_a_server)
    two(_order)
    assert one(_told_while_it_counts) == {}
    assert list(two.samples("http_requests_total").values()) == [1]


def _stops(inside: Inside) -> tuple[int, int]:
    """Return how a scrape is answered before the lifespan's end, and how one is that comes to its end after it."""
    before = inside.get("/metrics").status
    inside.loop.run_until_complete(_to_its_end(inside.app))
    return before, inside.get("/metrics").status


async def _to_its_end(app: FastAPI) -> None:
    async with running(app):
        pass


def test_a_scrape_that_outlasts_its_worker_shows_no_restart(service: Service) -> None:
    """What the worker counted is the others' by then: 503, where its own counts, at 0, would look like a restart."""
    one, two = service.worker(), service.worker()
    one(_order, 3)
    assert one(_stops) == (200, 503)
    assert list(two.samples("http_requests_total").values()) == [3]


def _hang_and_leave(inside: Inside) -> float:
    """Return how long leaving takes while a gauge's function that does not return is asked."""
    asked, go_on = threading.Event(), threading.Event()

    def slow() -> float:
        asked.set()
        go_on.wait(30.0)
        return 1.0

    prometheus_client.Gauge("slow", "Slow.").set_function(slow)
    beat = threading.Thread(target=workers.publish)
    beat.start()
    asked.wait(30.0)
    began = time.monotonic()
    inside.obs.remove()
    took = time.monotonic() - began
    go_on.set()
    beat.join(30.0)
    return took


def test_a_function_that_hangs_keeps_no_worker_from_leaving(service: Service) -> None:
    """Its gauge is late; the worker, whose event loop would wait, leaves at once."""
    one, two = service.worker(), service.worker()
    one(_order, 3)
    assert one(_hang_and_leave) < 15.0
    assert list(two.samples("http_requests_total").values()) == [3]
