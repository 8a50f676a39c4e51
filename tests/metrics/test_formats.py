"""What a scrape looks like: both formats, how they are negotiated, and escaping."""

from __future__ import annotations

import math

import pytest
from fastapi import FastAPI

import belvedere
from tests.drive import ask
from tests.metrics.conftest import Observe
from tests.metrics.scraping import ASKS_OPENMETRICS, BOTH, OPENMETRICS, TEXT, scrape

PROMETHEUS_2 = (
    b"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    b"text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)


PROMETHEUS_2_49 = (
    b"application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
    b"text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


PROMETHEUS_3 = (
    b"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    b"application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    b"text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


PROMETHEUS_3_PROTOBUF_FIRST = (
    b"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7," + PROMETHEUS_3
)


PROMETHEUS_3_TEXT_ONLY = b"text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.4"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, TEXT),
        (b"*/*", TEXT),
        (b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", TEXT),
        (b"text/plain", TEXT),
        (PROMETHEUS_2, OPENMETRICS),
        (PROMETHEUS_2_49, OPENMETRICS),
        (PROMETHEUS_3, OPENMETRICS),
        (PROMETHEUS_3_PROTOBUF_FIRST, OPENMETRICS),
        (PROMETHEUS_3_TEXT_ONLY, TEXT),
        (b"application/openmetrics-text", OPENMETRICS),
        (b"Application/OpenMetrics-Text; Version=1.0.0", OPENMETRICS),
        (b"application/openmetrics-text;q=0.1,text/plain;q=0.9", TEXT),
        (b"application/openmetrics-text;q=0,text/plain;q=0", TEXT),
        (b"application/openmetrics-text;version=2.0.0,text/plain;q=0.5", TEXT),
        (b"application/openmetrics-text;q=x", TEXT),
        (b"\xff;q=\xff,,;", TEXT),
    ],
)
async def test_the_format_is_negotiated(accept: bytes | None, kind: str, app: FastAPI) -> None:
    """OpenMetrics for whoever prefers it to text, text for everybody else."""
    found = await scrape(app, accept=accept)
    assert found.answer.all("content-type") == [kind]
    assert found.families
    assert found.text.endswith("\n# EOF\n") is (kind == OPENMETRICS)


@BOTH
async def test_everything_served_is_read_by_prometheus_clients_parsers(accept: bytes | None, observe: Observe) -> None:
    """All our metrics, declared ones, checks, the process's own: no line is refused, no name comes twice."""
    app = FastAPI()

    @app.get("/items/{item_id}")
    async def item(item_id: int) -> None:
        if item_id == 0:
            raise LookupError

    observe(app, belvedere.Check("database", lambda: True), belvedere.SLO("items", objective=99, latency=0.2))
    belvedere.counter("orders", "Orders.", ["channel"]).labels("web").inc()
    belvedere.gauge("videos_total", "A gauge that is called like a counter.").set(3)
    belvedere.gauge("tasks_active_count", "A gauge that is called like a part of a histogram.").set(3)
    for path in ("/items/1", "/items/0", "/items/x", "/nowhere", "/readyz"):
        await ask(app, "GET", path)

    found = await scrape(app, accept=accept)
    types = found.types()
    assert types["orders" if accept else "orders_total"] == "counter"
    assert types["videos_total"] == types["tasks_active_count"] == "gauge"
    assert found.samples("orders_total", "videos_total", "tasks_active_count", "belvedere_check_up") == {
        'orders_total{channel="web"}': 1.0,
        "videos_total": 3.0,
        "tasks_active_count": 3.0,
        'belvedere_check_up{check="database"}': 1.0,
    }
    assert "process_cpu_seconds_total" in found.labels()
    assert found.text.count("# EOF") == (1 if accept else 0)
    assert "_created" not in found.text


async def test_both_formats_show_the_same_samples(app: FastAPI) -> None:
    """The format is a matter of spelling."""
    belvedere.histogram("seconds", "S.", ["a"]).labels("b").observe(0.3)
    await ask(app, "GET", "/nowhere")
    varying = "process_", "python_", "belvedere_event_loop_lag"
    texts, openmetrics = [
        {
            name: value
            for name, value in (await scrape(app, accept=accept)).samples().items()
            if not name.startswith(varying)
        }
        for accept in (None, ASKS_OPENMETRICS)
    ]
    assert texts == openmetrics


@BOTH
async def test_label_values_and_help_are_escaped(accept: bytes | None, app: FastAPI) -> None:
    """Quotes, backslashes, line ends and Unicode come back as they went in, from declared and HTTP metrics alike."""
    awkward = ['a"b', "a\\b", "a\nb", "a\\nb", "ü→😀", "", "{}", "a,b=c", "\x00\x1f\r\t", "\u2028"]
    jobs = belvedere.counter("jobs", 'Jobs: "all"\\of\nthem.', ["name"])
    for value in awkward:
        jobs.labels(value).inc()

    found = await scrape(app, accept=accept)
    (family,) = [family for family in found.families if family.name == "jobs"]
    assert family.documentation == 'Jobs: "all"\\of\nthem.'
    assert [sample.labels["name"] for sample in family.samples] == awkward


@BOTH
async def test_context_labels_are_escaped(accept: bytes | None, observe: Observe) -> None:
    """What an application binds may hold anything."""
    app = FastAPI()

    @app.get("/")
    async def root() -> None:
        belvedere.bind(tenant='a"\\\nb')

    observe(app, metrics={"context_labels": ["tenant"], "constant_labels": {"zone": 'x"\\\ny'}})
    await ask(app)

    (family,) = [f for f in (await scrape(app, accept=accept)).families if f.name == "http_requests"]
    assert [(s.labels["tenant"], s.labels["zone"]) for s in family.samples] == [('a"\\\nb', 'x"\\\ny')]


@BOTH
async def test_a_value_without_bytes_in_utf_8_spoils_nothing(accept: bytes | None, observe: Observe) -> None:
    """Half a surrogate pair, as file names and headers may bring, is shown as `?`."""
    app = FastAPI()

    @app.get("/")
    async def root() -> None:
        belvedere.bind(tenant="a\udc80b")

    observe(app, metrics={"context_labels": ["tenant"]})
    belvedere.counter("files", "Files.", ["name"]).labels("c\ud800d").inc()
    await ask(app)

    assert (await scrape(app, accept=accept)).samples("files_total", "http_requests_total") == {
        'files_total{name="c?d"}': 1.0,
        'http_requests_total{endpoint="/",method="GET",status="200",tenant="a?b"}': 1.0,
    }


@BOTH
async def test_numbers_that_are_none_are_spelled_as_go_does(accept: bytes | None, app: FastAPI) -> None:
    """Infinities, NaN, and numbers large, small and negative come back as they are."""
    gauge = belvedere.gauge("g", "G.", ["n"])
    values = {
        "inf": float("inf"),
        "minus": float("-inf"),
        "large": 1e300,
        "small": 5e-324,
        "whole": 2.0**53,
        "neg": -0.5,
    }
    for name, value in values.items():
        gauge.labels(name).set(value)
    gauge.labels("nan").set(float("nan"))

    found = (await scrape(app, accept=accept)).samples("g")
    nan = found.pop('g{n="nan"}')
    assert math.isnan(nan)
    assert found == {f'g{{n="{name}"}}': value for name, value in values.items()}
