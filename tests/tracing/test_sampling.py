"""Which traces are kept: the share that was asked for, however it was asked for, and what a caller has decided."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    Decision,
    ParentBased,
    ParentBasedTraceIdRatio,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from starlette.routing import Route

from belvedere import Settings
from belvedere.asgi import identity
from tests.drive import ask
from tests.tracing.conftest import Lines, Observe, keeping

REQUESTS = 10_000
SAMPLED = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
NOT_SAMPLED = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"


@pytest.fixture
def drawn() -> Iterator[None]:
    """The same ids in each run: of true chances, one in a thousand is further from the share than is asserted."""
    identity.generator.seed(20)
    identity.spare_ids.clear()
    yield
    identity.generator.seed()
    identity.spare_ids.clear()


class Delegating(Sampler):
    """Somebody's own sampler that asks one of the SDK's."""

    def __init__(self, inner: Sampler) -> None:
        self.inner = inner

    def should_sample(self, *arguments: Any, **named: Any) -> SamplingResult:
        return self.inner.should_sample(*arguments, **named)

    def get_description(self) -> str:
        return "Delegating"


def shop() -> FastAPI:
    """Return an application with one route, as quick as routes are: it is asked tens of thousands of times."""
    app = FastAPI()
    tracer = trace.get_tracer("shop")

    class Root:
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            tracer.start_span("child").end()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    app.router.routes.append(Route("/", Root()))
    return app


async def ask_often(app: Any, count: int = REQUESTS) -> None:
    """Ask so often, without the comforts of `ask`."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        assert message.get("status", 200) == 200

    for _ in range(count):
        scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": [], "state": {}}
        await app(scope, receive, send)


@pytest.mark.usefixtures("drawn")
@pytest.mark.parametrize(
    "make",
    [
        lambda: TraceIdRatioBased(0.1),
        lambda: ParentBased(TraceIdRatioBased(0.1)),
        lambda: ParentBasedTraceIdRatio(0.1),
        lambda: Delegating(TraceIdRatioBased(0.1)),
    ],
    ids=["ratio", "parent-based", "parent-based ratio", "inside another"],
)
async def test_a_ratio_of_a_given_provider(make: Callable[[], Sampler], observe: Observe) -> None:
    """One in ten of 10,000 requests has a span, and each of these has its child; the provider's sampler comes back."""
    sampler = make()
    kept = keeping(sampler=sampler)
    app = shop()
    obs = observe(app, tracing={"provider": kept.provider}, logs=None, metrics=None, health=None)
    await ask_often(app)
    servers = {span.context.span_id for span in kept.spans if span.name == "GET /" and span.context}
    children = {span.parent.span_id for span in kept.spans if span.name == "child" and span.parent}
    assert 900 <= len(servers) <= 1100
    assert children == servers
    obs.remove()
    assert kept.provider.sampler is sampler


@pytest.mark.usefixtures("drawn")
@pytest.mark.parametrize(
    ("settings", "variables"),
    [
        ({"sample": 0.1}, {}),
        ({}, {"BELVEDERE_TRACING__SAMPLE": "0.1"}),
        ({}, {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"}),
        ({}, {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"}),
    ],
    ids=["setting", "own variable", "traceidratio", "parentbased_traceidratio"],
)
async def test_a_ratio_of_the_settings(
    settings: dict[str, Any], variables: dict[str, str], observe: Observe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same with a provider of our own."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    exporter = InMemorySpanExporter()
    app = shop()
    observe(app, tracing={"endpoint": "http://127.0.0.1:9", **settings}, logs=None, metrics=None, health=None)
    provider: Any = trace.get_tracer_provider()
    # Nothing is to go to the endpoint, where nobody is.
    provider._active_span_processor._span_processors = (SimpleSpanProcessor(exporter),)
    await ask_often(app)
    spans = exporter.get_finished_spans()
    assert 900 <= len([span for span in spans if span.name == "GET /"]) <= 1100
    assert len([span for span in spans if span.name == "child"]) * 2 == len(spans)


@pytest.mark.usefixtures("drawn")
@pytest.mark.parametrize("variable", [False, True], ids=["setting", "variable"])
@pytest.mark.parametrize("shared", [False, True], ids=["given", "the process'"])
async def test_a_ratio_for_a_provider_that_keeps_all(
    shared: bool, variable: bool, observe: Observe, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider without a sampler of its own, and a ratio of ours: the ratio holds, and the report says so."""
    telemetry = request.getfixturevalue("global_telemetry" if shared else "telemetry")
    provider = telemetry.tracer_provider
    before = provider.sampler
    tracing: dict[str, Any] = {"endpoint": "http://127.0.0.1:9"} if shared else {"provider": provider}
    if variable:
        monkeypatch.setenv("BELVEDERE_TRACING__SAMPLE", "0.1")
    else:
        tracing["sample"] = 0.1
    app = shop()
    obs = observe(app, tracing=tracing, logs=None, metrics=None, health=None)
    assert "0.1 of the traces that begin here" in obs.report()["tracing"]["why"]
    await ask_often(app)
    assert 900 <= len([span for span in telemetry.spans if span.name == "GET /"]) <= 1100
    obs.remove()
    assert provider.sampler is before


async def test_a_sampler_wins_over_a_ratio(observe: Observe) -> None:
    """A provider that has a sampler of its own keeps it, and the report tells of no ratio."""
    for sampler in (ALWAYS_ON, ParentBased(ALWAYS_ON, remote_parent_not_sampled=ALWAYS_ON)):
        kept = keeping(sampler=sampler)
        app = shop()
        obs = observe(app, tracing={"provider": kept.provider, "sample": 0.0})
        assert "begin here" not in obs.report()["tracing"]["why"]
        await ask_often(app, 5)
        assert len([span for span in kept.spans if span.name == "GET /"]) == 5
        obs.remove()


async def test_a_callers_decision_comes_first(observe: Observe, lines: Lines) -> None:
    """Below a sampled parent everything is kept, below one that is not nothing, whatever the ratio."""
    for share, header, expected in ((0.0, SAMPLED, 1), (1.0, NOT_SAMPLED, 0)):
        kept = keeping(sampler=ParentBased(TraceIdRatioBased(share)))
        app = shop()
        obs = observe(app, tracing={"provider": kept.provider})
        await ask(app, headers=[(b"traceparent", header)])
        assert len([span for span in kept.spans if span.name == "GET /"]) == expected
        assert len(kept.spans) == 2 * expected
        obs.remove()
        (line,) = lines("request_processed")
        assert line["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
        assert len(line["span_id"]) == 16
        assert line["span_id"] != "00f067aa0ba902b7"


class Attributing(Sampler):
    """Decides by what it is told, and adds to it."""

    def should_sample(self, parent_context: Any, trace_id: int, name: str, *rest: Any, **named: Any) -> SamplingResult:
        attributes = rest[1] if len(rest) > 1 else named["attributes"] or {}
        if attributes.get("url.path") == "/drop":
            return SamplingResult(Decision.DROP)
        if attributes.get("url.path") == "/record":
            return SamplingResult(Decision.RECORD_ONLY)
        return SamplingResult(Decision.RECORD_AND_SAMPLE, {**attributes, "sampler.rule": "default"})

    def get_description(self) -> str:
        return "Attributing"


async def test_a_sampler_of_the_applications_own(observe: Observe) -> None:
    """It is told what is known when the request begins; what it adds is on the span."""
    kept = keeping(sampler=Attributing())
    app = FastAPI()
    for path in ("/drop", "/record", "/keep"):
        app.get(path)(lambda: None)
    observe(app, tracing={"provider": kept.provider})
    for path in ("/drop", "/record", "/keep"):
        await ask(app, path=path)
    assert [(span.name, (span.attributes or {})["sampler.rule"]) for span in kept.spans] == [("GET /keep", "default")]


@pytest.mark.parametrize(("sampler", "expected"), [(ALWAYS_ON, 5), (ALWAYS_OFF, 0)])
async def test_all_or_nothing(sampler: Sampler, expected: int, observe: Observe) -> None:
    """Samplers of the SDK that know no ratio are taken as they are."""
    kept = keeping(sampler=sampler)
    app = shop()
    observe(app, tracing={"provider": kept.provider})
    await ask_often(app, 5)
    assert len([span for span in kept.spans if span.name == "GET /"]) == expected


async def test_exemplars_are_of_sampled_traces(observe: Observe) -> None:
    """A trace that is not kept would be looked for in vain."""
    for share, expected in ((0.0, False), (1.0, True)):
        kept = keeping(sampler=ParentBased(TraceIdRatioBased(share)))
        app = shop()
        obs = observe(app, tracing={"provider": kept.provider})
        answer = await ask(app)
        scrape = await ask(app, path="/metrics", headers=[(b"accept", b"application/openmetrics-text")])
        assert (f'trace_id="{answer.id.replace("-", "")}"' in scrape.body.decode()) is expected
        obs.remove()


@pytest.mark.parametrize(
    ("sampler", "expected"),
    [("always_off", 0.0), ("ParentBased_TraceIdRatio", 0.25), ("TRACEIDRATIO", 0.25), ("always_on", 1.0)],
)
def test_the_variable_of_sampling_is_a_setting(sampler: str, expected: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the report and `Settings` show is what is done, in whatever case the variable is written."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.25")
    tracing = Settings().tracing
    assert tracing is not None
    assert tracing.sample == expected
