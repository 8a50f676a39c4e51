"""The HTTP metrics: what each request leaves behind, to the last sample."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException, Request, WebSocket
from fastapi.responses import Response, StreamingResponse

import belvedere
from belvedere import conventions
from tests.drive import Exchange, Socket, ask
from tests.metrics.conftest import Clock, Observe
from tests.metrics.scraping import ASKS_OPENMETRICS, scrape


@pytest.fixture
def app(clock: Clock) -> FastAPI:
    app = FastAPI()

    @app.get("/items/{item_id:int}")
    async def item(item_id: int) -> dict[str, int]:
        clock.seconds += 0.03
        return {"id": item_id}

    @app.post("/echo")
    async def echo(request: Request) -> Response:
        return Response(await request.body())

    @app.get("/missing")
    async def missing() -> None:
        raise HTTPException(404)

    @app.get("/broken")
    async def broken() -> None:
        raise LookupError("row 7")

    return app


def histogram(name: str, labels: str, bounds: list[str], values: list[int], total: Any) -> dict[str, Any]:
    """Return the samples of a histogram whose buckets hold `values`, cumulatively."""
    buckets = {
        f'{name}_bucket{{{labels[: labels.index("method")]}le="{bound}",{labels[labels.index("method") :]}}}': value
        for bound, value in zip([*bounds, "+Inf"], values, strict=True)
    }
    return {**buckets, f"{name}_count{{{labels}}}": values[-1], f"{name}_sum{{{labels}}}": total}


DURATIONS = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0"]
SIZES = ["100.0", "1000.0", "10000.0", "100000.0", "1e+06", "1e+07"]


async def test_one_request_leaves_exactly_these_samples(app: FastAPI, observe: Observe) -> None:
    """A request is counted, timed and measured once each, under the template of its route."""
    observe(app)
    await ask(app, "GET", "/items/7")

    found = await scrape(app)

    labels = 'endpoint="/items/{item_id}",method="GET"'
    assert found.samples(*(name for name in found.labels() if name.startswith(("http_", "websocket_")))) == {
        f'http_requests_total{{{labels},status="200"}}': 1.0,
        **histogram("http_request_duration_seconds", labels, DURATIONS, [0, 0, 0] + [1] * 9, pytest.approx(0.03)),
        'http_requests_in_progress{method="GET"}': 0.0,
        **histogram("http_request_size_bytes", labels, SIZES, [1] * 7, 0.0),
        **histogram("http_response_size_bytes", labels, SIZES, [1] * 7, 8.0),
    }


async def test_every_http_metric_has_its_type_whether_or_not_it_has_samples(app: FastAPI, observe: Observe) -> None:
    """Names and types are there from the first scrape on."""
    observe(app)

    assert (await scrape(app)).types("http_") == {
        "http_requests_total": "counter",
        "http_request_duration_seconds": "histogram",
        "http_requests_in_progress": "gauge",
        "http_request_size_bytes": "histogram",
        "http_response_size_bytes": "histogram",
        "http_exceptions_total": "counter",
    }


async def test_each_status_is_counted_by_itself(app: FastAPI, observe: Observe) -> None:
    """Answers of the application, its errors, its routes' refusals and unknown paths each have their count."""
    observe(app)
    for method, path in [
        ("GET", "/items/1"),
        ("GET", "/items/2"),
        ("GET", "/missing"),
        ("POST", "/items/1"),
        ("GET", "/nowhere/1"),
        ("GET", "/nowhere/2"),
        ("GET", "/broken"),
    ]:
        await ask(app, method, path)

    assert (await scrape(app)).samples("http_requests_total") == {
        'http_requests_total{endpoint="/items/{item_id}",method="GET",status="200"}': 2.0,
        'http_requests_total{endpoint="/missing",method="GET",status="404"}': 1.0,
        'http_requests_total{endpoint="/items/{item_id}",method="POST",status="405"}': 1.0,
        'http_requests_total{endpoint="unmatched",method="GET",status="404"}': 2.0,
        'http_requests_total{endpoint="/broken",method="GET",status="500"}': 1.0,
    }


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [(0.0, "0.005"), (0.005, "0.005"), (0.0051, "0.01"), (0.25, "0.25"), (10.0, "10.0"), (10.1, "+Inf")],
)
async def test_a_duration_falls_into_the_first_bucket_that_holds_it(
    seconds: float, bucket: str, observe: Observe
) -> None:
    """A bucket's bound belongs to it, as `le` says."""
    app = FastAPI()
    clock = Clock()

    @app.get("/")
    async def root() -> None:
        clock.seconds += seconds

    observe(app)._plan.clock = clock
    clock.seconds = 0.0
    await ask(app)

    samples = (await scrape(app)).samples("http_request_duration_seconds_bucket")
    assert next(text.split('le="')[1].split('"')[0] for text, value in samples.items() if value) == bucket


async def test_sizes_are_those_of_the_bodies(app: FastAPI, observe: Observe) -> None:
    """Request sizes are counted with and without a Content-Length, in one chunk or several."""
    observe(app)
    await ask(app, "POST", "/echo", body=b"a" * 150, headers=[(b"content-length", b"150")])
    await ask(app, "POST", "/echo", body=[b"a" * 1000, b"b" * 1000, b"c" * 500])

    samples = (await scrape(app)).samples("http_request_size_bytes_sum", "http_response_size_bytes_sum")
    assert samples == {
        'http_request_size_bytes_sum{endpoint="/echo",method="POST"}': 2650.0,
        'http_response_size_bytes_sum{endpoint="/echo",method="POST"}': 2650.0,
    }
    buckets = (await scrape(app)).samples("http_request_size_bytes_bucket")
    assert list(buckets.values()) == [0.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0]


async def test_a_stream_is_timed_to_its_last_byte(observe: Observe, clock: Clock) -> None:
    """Duration and size end with the body, not with the headers."""
    app = FastAPI()

    async def rows() -> AsyncIterator[bytes]:
        for _ in range(3):
            clock.seconds += 1.0
            yield b"row\n"

    @app.get("/rows")
    async def stream() -> StreamingResponse:
        return StreamingResponse(rows())

    observe(app)
    await ask(app, "GET", "/rows")

    assert (await scrape(app)).samples("http_request_duration_seconds_sum", "http_response_size_bytes_sum") == {
        'http_request_duration_seconds_sum{endpoint="/rows",method="GET"}': 3.0,
        'http_response_size_bytes_sum{endpoint="/rows",method="GET"}': 12.0,
    }


async def test_requests_in_progress_are_those_that_have_begun_and_not_ended(observe: Observe) -> None:
    """Two requests that wait are two in progress, by method; when both have ended there are none."""
    app = FastAPI()
    go = asyncio.Event()

    @app.api_route("/wait", methods=["GET", "PUT"])
    async def wait() -> None:
        await go.wait()

    observe(app)
    tasks = [Exchange(app, method, "/wait").start() for method in ("GET", "GET", "PUT")]
    await asyncio.sleep(0)
    during = (await scrape(app)).samples("http_requests_in_progress")
    go.set()
    await asyncio.gather(*tasks)

    assert during == {
        'http_requests_in_progress{method="GET"}': 2.0,
        'http_requests_in_progress{method="PUT"}': 1.0,
    }
    assert (await scrape(app)).samples("http_requests_in_progress") == {
        'http_requests_in_progress{method="GET"}': 0.0,
        'http_requests_in_progress{method="PUT"}': 0.0,
    }


async def test_an_exception_nobody_handled_is_counted_by_its_class(app: FastAPI, observe: Observe) -> None:
    """Its class is a label and its text is not; what a handler answered is no exception."""
    observe(app)
    await ask(app, "GET", "/broken")
    await ask(app, "GET", "/missing")

    found = await scrape(app)
    assert found.samples("http_exceptions_total") == {
        'http_exceptions_total{endpoint="/broken",exception="LookupError",method="GET"}': 1.0
    }
    assert "row 7" not in found.text


async def test_a_method_nobody_knows_is_other(app: FastAPI, observe: Observe) -> None:
    """However many methods are made up, they share one series of each metric."""
    observe(app)
    for number in range(50):
        await ask(app, f"M{number}", "/items/1")

    found = await scrape(app)
    assert found.samples("http_requests_total", "http_requests_in_progress", "http_request_duration_seconds_count") == {
        'http_requests_total{endpoint="/items/{item_id}",method="_OTHER",status="405"}': 50.0,
        'http_requests_in_progress{method="_OTHER"}': 0.0,
        'http_request_duration_seconds_count{endpoint="/items/{item_id}",method="_OTHER"}': 50.0,
    }


async def test_excluded_requests_leave_nothing(app: FastAPI, observe: Observe) -> None:
    """Probes and scrapes are not counted unless somebody wants them counted."""
    observe(app)
    await ask(app, "GET", "/healthz")
    await scrape(app)
    assert not (await scrape(app)).samples("http_requests_total", "http_requests_in_progress")


async def test_probes_and_scrapes_are_counted_where_nothing_is_excluded(app: FastAPI, observe: Observe) -> None:
    """With an empty list of exclusions they are requests like any other, and a scrape sees itself in progress."""
    observe(app, requests={"exclude": []})
    await ask(app, "GET", "/healthz")
    await scrape(app)

    assert (await scrape(app)).samples("http_requests_total", "http_requests_in_progress") == {
        'http_requests_total{endpoint="/healthz",method="GET",status="200"}': 1.0,
        'http_requests_total{endpoint="/metrics",method="GET",status="200"}': 1.0,
        'http_requests_in_progress{method="GET"}': 1.0,
    }


async def test_an_exemplar_leads_to_the_trace(app: FastAPI, observe: Observe) -> None:
    """In OpenMetrics, the bucket that a request fell into carries its trace id, its duration and its time."""
    observability = observe(app)
    observability._metrics.http._now = lambda: 1_700_000_000.25  # type: ignore[union-attr]
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    await ask(app, "GET", "/items/7", headers=[(b"traceparent", f"00-{trace_id}-00f067aa0ba902b7-01".encode())])

    found = await scrape(app, accept=ASKS_OPENMETRICS)
    assert [line for line in found.text.splitlines() if " # " in line] == [
        'http_request_duration_seconds_bucket{method="GET",endpoint="/items/{item_id}",le="0.05"} 1.0 '
        f'# {{trace_id="{trace_id}"}} 0.030000000000001137 1700000000.250'
    ]
    exemplars = [s.exemplar for family in found.families for s in family.samples if s.exemplar is not None]
    assert [exemplar.labels for exemplar in exemplars] == [{"trace_id": trace_id}]
    assert " # " not in (await scrape(app)).text.replace("# HELP", "").replace("# TYPE", "")


async def test_declared_histograms_lead_to_the_trace(observe: Observe) -> None:
    """What is observed within a request that is sampled has its trace as exemplar, unless it is given one."""
    app = FastAPI()
    taken = belvedere.histogram("shop_order_seconds", "Orders.", ["channel"], buckets=[1, 5])

    @app.get("/order")
    def order() -> None:
        taken.labels("web").observe(5)
        taken.labels("app").observe(0.5, {"order": "7"})

    observe(app)
    taken.labels("job").observe(2)
    answer = await ask(app, "GET", "/order")
    await ask(app, "GET", "/order", headers=[(b"traceparent", f"00-{'a' * 32}-{'b' * 16}-00".encode())])
    found = await scrape(app, accept=ASKS_OPENMETRICS)
    exemplars = {
        (sample.labels["channel"], sample.labels["le"]): (dict(sample.exemplar.labels), sample.exemplar.value)
        for family in found.families
        for sample in family.samples
        if family.name == "shop_order_seconds" and sample.exemplar is not None
    }
    trace_id = answer.id.replace("-", "")
    assert exemplars == {("web", "5.0"): ({"trace_id": trace_id}, 5.0), ("app", "1.0"): ({"order": "7"}, 0.5)}


async def test_a_request_that_is_not_sampled_leaves_no_exemplar(app: FastAPI, observe: Observe) -> None:
    """An exemplar that leads to no trace is worse than none."""
    observe(app)
    parent = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
    await ask(app, "GET", "/items/7", headers=[(b"traceparent", parent)])

    assert "trace_id=" not in (await scrape(app, accept=ASKS_OPENMETRICS)).text


@pytest.mark.parametrize(("length", "shown"), [(120, True), (121, False), (128, False)])
async def test_an_exemplar_has_at_most_128_characters(length: int, shown: bool, app: FastAPI, observe: Observe) -> None:
    """Label name and value count; a longer id is left out, as readers refuse the whole scrape otherwise."""
    observe(app)
    await ask(app, "GET", "/items/7", headers=[(b"x-request-id", b"i" * length)])

    found = await scrape(app, accept=ASKS_OPENMETRICS)
    assert found.families
    assert (f'trace_id="{"i" * length}"' in found.text) is shown


async def test_the_threshold_of_an_objective_is_an_exact_bucket(app: FastAPI, observe: Observe) -> None:
    """An SLO's latency is the bound of a bucket, spelled as `le`, among the others in order."""
    observe(app, belvedere.SLO("search", objective=99.5, latency=0.3))
    await ask(app, "GET", "/items/7")

    samples = (await scrape(app)).samples("http_request_duration_seconds_bucket")
    bounds = [text.split('le="')[1].split('"')[0] for text in samples]
    assert bounds == [*DURATIONS[:6], "0.3", *DURATIONS[6:], "+Inf"]


async def test_a_bucket_added_while_requests_are_counted_keeps_the_counts(app: FastAPI, observe: Observe) -> None:
    """An objective that comes later gives every histogram its bucket; what was counted stays where it was."""
    observability = observe(app)
    await ask(app, "GET", "/items/7")
    observability.add(belvedere.SLO("late", objective=99, latency=0.04))
    observability.add(belvedere.SLO("twice", objective=99, latency=0.04))
    await ask(app, "GET", "/items/8")

    samples = (await scrape(app)).samples("http_request_duration_seconds_bucket", "http_request_duration_seconds_sum")
    labels = 'endpoint="/items/{item_id}",'
    bounds = [*DURATIONS[:3], "0.04", *DURATIONS[3:]]
    expected = histogram("http_request_duration_seconds", labels + 'method="GET"', bounds, [0] * 3 + [1] + [2] * 9, 0)
    del expected[f'http_request_duration_seconds_count{{{labels}method="GET"}}']
    expected[f'http_request_duration_seconds_sum{{{labels}method="GET"}}'] = pytest.approx(0.06)
    assert samples == expected


async def test_websockets_are_counted_by_outcome_and_while_they_are_open(observe: Observe) -> None:
    """Accepted, refused and failed connections have counts, open ones a gauge; none is a request."""
    app = FastAPI()

    @app.websocket("/rooms/{room}")
    async def rooms(websocket: WebSocket, room: str) -> None:
        if room == "closed":
            await websocket.close()
            return
        await websocket.accept()
        if room == "broken":
            raise LookupError
        await websocket.receive_text()

    observe(app)
    open_ = Socket(app, "/rooms/open")
    task = open_.start()
    await open_.sent(1)
    during = (await scrape(app)).samples("websocket_connections_active")
    open_.say("bye")
    await task
    await Socket(app, "/rooms/closed").run()
    await Socket(app, "/rooms/broken").run()

    assert during == {'websocket_connections_active{endpoint="/rooms/{room}"}': 1.0}
    found = await scrape(app)
    assert found.types("websocket_") == {
        "websocket_connections_total": "counter",
        "websocket_connections_active": "gauge",
    }
    assert found.samples(*(name for name in found.labels() if name.startswith(("http_", "websocket_")))) == {
        'websocket_connections_total{endpoint="/rooms/{room}",outcome="accepted"}': 2.0,
        'websocket_connections_total{endpoint="/rooms/{room}",outcome="refused"}': 1.0,
        'websocket_connections_total{endpoint="/rooms/{room}",outcome="failed"}': 1.0,
        'websocket_connections_active{endpoint="/rooms/{room}"}': 0.0,
        'http_exceptions_total{endpoint="/rooms/{room}",exception="LookupError",method="WEBSOCKET"}': 1.0,
    }


async def test_names_and_labels_are_those_of_the_conventions(app: FastAPI, observe: Observe) -> None:
    """Nothing is exposed under a label that `conventions` does not name."""
    observe(app)
    await ask(app, "GET", "/items/7")
    await ask(app, "GET", "/broken")

    found = (await scrape(app)).labels()
    for metric in conventions.HTTP_METRICS:
        name = f"{metric.name}_count" if metric.type == "histogram" else metric.name
        assert found[name] == sorted(metric.labels)


async def test_counters_never_go_back_between_scrapes(app: FastAPI, observe: Observe) -> None:
    """Every counter of a later scrape is at least what it was before."""
    observe(app)
    before: dict[str, Any] = {}
    for number in range(5):
        await ask(app, "GET", f"/items/{number}")
        now = (await scrape(app)).samples("http_requests_total", "http_request_duration_seconds_count")
        assert all(now[text] >= value for text, value in before.items())
        before = now
    assert list(before.values()) == [5.0, 5.0]
