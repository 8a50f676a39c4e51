"""Names and labels of the HTTP metrics are settings."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI, WebSocket

import belvedere
from tests.drive import Socket, ask
from tests.metrics.conftest import Observe
from tests.metrics.scraping import ASKS_OPENMETRICS, scrape


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI()

    @app.get("/a")
    async def a() -> None: ...

    @app.get("/broken")
    async def broken() -> None:
        raise LookupError

    return app


async def test_a_metric_can_be_renamed(app: FastAPI, observe: Observe) -> None:
    """The new name takes the old one's place; a counter gets the `_total` that it lacks."""
    observe(app, metrics={"names": {"http_requests_total": "calls", "http_request_duration_seconds": "call_seconds"}})
    await ask(app, "GET", "/a")

    found = await scrape(app)
    assert {"calls_total", "call_seconds"} <= found.types().keys()
    assert not {"http_requests_total", "http_request_duration_seconds"} & found.types().keys()
    assert found.samples("calls_total", "call_seconds_count") == {
        'calls_total{endpoint="/a",method="GET",status="200"}': 1.0,
        'call_seconds_count{endpoint="/a",method="GET"}': 1.0,
    }


@pytest.mark.parametrize("accept", [None, ASKS_OPENMETRICS])
async def test_one_metric_can_have_several_names(accept: bytes | None, app: FastAPI, observe: Observe) -> None:
    """Under each name stand the same samples, in both formats."""
    observe(app, metrics={"names": {"http_requests_total": ["calls", "answers_total"]}})
    await ask(app, "GET", "/a")

    assert (await scrape(app, accept=accept)).samples("calls_total", "answers_total") == {
        'calls_total{endpoint="/a",method="GET",status="200"}': 1.0,
        'answers_total{endpoint="/a",method="GET",status="200"}': 1.0,
    }


async def test_a_label_can_be_renamed(app: FastAPI, observe: Observe) -> None:
    """The label has its new name in every HTTP metric that carries it."""
    observe(app, metrics={"labels": {"status": "status_code", "endpoint": "route"}})
    await ask(app, "GET", "/a")

    assert (await scrape(app)).samples("http_requests_total", "http_response_size_bytes_count") == {
        'http_requests_total{method="GET",route="/a",status_code="200"}': 1.0,
        'http_response_size_bytes_count{method="GET",route="/a"}': 1.0,
    }


async def test_constant_labels_are_on_every_http_metric(app: FastAPI, observe: Observe) -> None:
    """Requests, exceptions, requests in progress and WebSockets carry them; Belvedere's own metrics do not."""

    @app.websocket("/ws")
    async def ws(websocket: WebSocket) -> None:
        await websocket.accept()

    observe(app, metrics={"constant_labels": {"app_name": "shop"}})
    await ask(app, "GET", "/a")
    await ask(app, "GET", "/broken")
    await Socket(app, "/ws").run()

    labels = (await scrape(app)).labels()
    assert {name for name, labelled in labels.items() if "app_name" in labelled} == {
        name for name in labels if name.startswith(("http_", "websocket_"))
    }
    assert len({name for name in labels if name.startswith(("http_", "websocket_"))}) == 14


async def test_the_duration_has_the_status_if_asked(app: FastAPI, observe: Observe) -> None:
    """`duration_status` gives the duration, and no other histogram, the status under its name."""
    observe(app, metrics={"duration_status": True, "labels": {"status": "code"}})
    await ask(app, "GET", "/a")
    await ask(app, "GET", "/broken")

    found = await scrape(app)
    assert found.samples("http_request_duration_seconds_count") == {
        'http_request_duration_seconds_count{code="200",endpoint="/a",method="GET"}': 1.0,
        'http_request_duration_seconds_count{code="500",endpoint="/broken",method="GET"}': 1.0,
    }
    assert found.labels()["http_request_size_bytes_count"] == ["endpoint", "method"]


async def test_labels_can_come_from_bound_context(observe: Observe) -> None:
    """What was bound during the request is the label's value; nothing bound, or `None`, is the empty value."""
    app = FastAPI()

    @app.get("/bound/{tenant}")
    async def bound(tenant: str) -> None:
        belvedere.bind(tenant=tenant if tenant != "none" else None)

    @app.get("/unbound")
    async def unbound() -> None: ...

    observe(app, metrics={"context_labels": ["tenant"]})
    for path in ("/bound/a", "/bound/b", "/bound/b", "/bound/none", "/unbound"):
        await ask(app, "GET", path)

    found = await scrape(app)
    assert found.samples("http_requests_total") == {
        'http_requests_total{endpoint="/bound/{tenant}",method="GET",status="200",tenant="a"}': 1.0,
        'http_requests_total{endpoint="/bound/{tenant}",method="GET",status="200",tenant="b"}': 2.0,
        'http_requests_total{endpoint="/bound/{tenant}",method="GET",status="200",tenant=""}': 1.0,
        'http_requests_total{endpoint="/unbound",method="GET",status="200",tenant=""}': 1.0,
    }
    assert {name for name, labelled in found.labels().items() if "tenant" in labelled} == {
        "http_requests_total",
        *(
            f"{metric}_{part}"
            for metric in ("http_request_duration_seconds", "http_request_size_bytes", "http_response_size_bytes")
            for part in ("bucket", "count", "sum")
        ),
    }


async def test_a_context_label_whose_value_has_no_text_leaves_requests_in_progress_right(observe: Observe) -> None:
    """A bound object that cannot be written out costs its own request's samples at most, and is counted."""

    class Mute:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    app = FastAPI()

    @app.get("/")
    async def root() -> None:
        belvedere.bind(tenant=Mute())

    observe(app, metrics={"context_labels": ["tenant"]})
    assert (await ask(app)).status == 200

    assert (await scrape(app)).samples("http_requests_in_progress", "belvedere_internal_errors_total") == {
        'http_requests_in_progress{method="GET"}': 0.0,
        'belvedere_internal_errors_total{feature="metrics"}': 1.0,
    }


async def test_buckets_of_the_duration_are_a_setting(app: FastAPI, observe: Observe) -> None:
    """The given bounds replace the default ones."""
    observe(app, metrics={"buckets": [0.1, 60]})
    await ask(app, "GET", "/a")

    samples = (await scrape(app)).samples("http_request_duration_seconds_bucket")
    assert [text.split('le="')[1].split('"')[0] for text in samples] == ["0.1", "60.0", "+Inf"]


@pytest.mark.parametrize(
    ("metrics", "place"),
    [
        ({"names": {"http_requests": "calls"}}, "metrics.names"),
        ({"names": {"http_requests_total": "1st"}}, "metrics.names"),
        ({"names": {"http_request_size_bytes": "bytes", "http_response_size_bytes": "bytes"}}, "metrics.names"),
        ({"names": {"http_requests_total": ["calls", "calls_total"]}}, "metrics.names"),
        ({"names": {"http_request_size_bytes": "http_response_size_bytes"}}, "metrics.names"),
        ({"names": {"http_requests_in_progress": "belvedere_info"}}, "metrics.names"),
        ({"labels": {"code": "status"}}, "metrics"),
        ({"labels": {"status": "status-code"}}, "metrics.labels"),
        ({"labels": {"status": "le"}}, "metrics.labels"),
        ({"constant_labels": {"le": "1"}}, "metrics.constant_labels"),
        ({"constant_labels": {"__name__": "x"}}, "metrics.constant_labels"),
        ({"constant_labels": {"method": "x"}}, "metrics"),
        ({"context_labels": {"a": 5}, "constant_labels": {"a": "x"}}, "metrics"),
        ({"buckets": [1, 1]}, "metrics.buckets"),
        ({"buckets": []}, "metrics.buckets"),
        ({"buckets": [1, float("inf")]}, "metrics.buckets"),
        ({"buckets": [float("nan")]}, "metrics.buckets"),
        ({"token": ""}, "metrics.token"),
    ],
)
def test_settings_that_would_spoil_a_scrape_stop_the_start(metrics: dict[str, Any], place: str) -> None:
    """A name twice, a label that readers refuse, bounds that do not rise: one message names the place."""
    with pytest.raises(belvedere.SettingsError, match=rf"(?m)^  {place} "):
        belvedere.Settings(metrics=metrics)
