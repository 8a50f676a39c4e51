"""Whoever else makes spans: a request has one server span, and the table of `docs/tracing.md` says whose."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.trace import SpanKind

from belvedere import bind, integrations
from tests.drive import ask
from tests.edge_cases.telemetry import Telemetry, native
from tests.tracing.conftest import Lines, Observe

TABLE = Path(__file__).parents[2] / "docs" / "tracing.md"
NATIVE = hasattr(FastAPI(), "_telemetry")

Serve = Callable[[ExitStack, Telemetry, Observe], Any]
"""Sets an application up, and returns what the server is given."""
made: dict[str, Serve] = {}


def row(name: str) -> Callable[[Serve], Serve]:
    """Register the set-up of a row."""
    return lambda serve: made.setdefault(name, serve)


def routes(app: FastAPI) -> FastAPI:
    @app.get("/items/{item_id}")
    async def item(item_id: int) -> int:
        bind(user_id="user-7")
        return item_id

    return app


def mounting(below: FastAPI) -> FastAPI:
    app = FastAPI()
    app.mount("/sub", below)
    return app


@row("`tracing.endpoint` or `tracing.provider` alone")
def alone(stack: ExitStack, telemetry: Telemetry, observe: Observe) -> Any:
    app = routes(FastAPI())
    observe(app, tracing={"provider": telemetry.tracer_provider})
    return app


@row("a global provider, tracing off")
def tracing_off(stack: ExitStack, telemetry: Telemetry, observe: Observe) -> Any:
    app = routes(FastAPI())
    observe(app)
    return app


@row("a global provider and `tracing.endpoint`")
def endpoint_too(stack: ExitStack, telemetry: Telemetry, observe: Observe) -> Any:
    app = routes(FastAPI())
    observe(app, tracing={"endpoint": "http://127.0.0.1:9"})
    return app


@row('`FastAPI(telemetry={"tracer_provider": …})`, tracing on')
def given_by_name(stack: ExitStack, telemetry: Telemetry, observe: Observe) -> Any:
    options: dict[str, Any] = {"telemetry": {"tracer_provider": telemetry.tracer_provider}} if NATIVE else {}
    app = routes(FastAPI(**options))
    observe(app, tracing={"provider": telemetry.tracer_provider})
    return app


@row("a mounted FastAPI application, tracing on")
def mounted(stack: ExitStack, telemetry: Telemetry, observe: Observe) -> Any:
    app = mounting(routes(FastAPI()))
    observe(app, tracing={"provider": telemetry.tracer_provider})
    return app


@row("`FastAPIInstrumentor.instrument_app` before `observe`, tracing on")
def contrib_before(stack: ExitStack, telemetry: Telemetry, observe: Observe) -> Any:
    app = routes(FastAPI())
    FastAPIInstrumentor.instrument_app(
        app, tracer_provider=telemetry.tracer_provider, exclude_spans=["receive", "send"]
    )
    stack.callback(FastAPIInstrumentor.uninstrument_app, app)
    observe(app, tracing={"provider": telemetry.tracer_provider})
    return app


@row("`FastAPIInstrumentor.instrument_app` after `observe`, tracing on")
def contrib_after(stack: ExitStack, telemetry: Telemetry, observe: Observe) -> Any:
    app = routes(FastAPI())
    observe(app, tracing={"provider": telemetry.tracer_provider})
    FastAPIInstrumentor.instrument_app(app, tracer_provider=telemetry.tracer_provider)
    stack.callback(FastAPIInstrumentor.uninstrument_app, app)
    return app


@row("a mounted application with `FastAPIInstrumentor`, tracing on")
def contrib_below(stack: ExitStack, telemetry: Telemetry, observe: Observe) -> Any:
    below = routes(FastAPI())
    FastAPIInstrumentor.instrument_app(below, tracer_provider=telemetry.tracer_provider)
    stack.callback(FastAPIInstrumentor.uninstrument_app, below)
    app = mounting(below)
    observe(app, tracing={"provider": telemetry.tracer_provider})
    return app


@row("`OpenTelemetryMiddleware(app)` of the instrumentation around all, tracing on")
def wrapped(stack: ExitStack, telemetry: Telemetry, observe: Observe) -> Any:
    app = routes(FastAPI())
    observe(app, tracing={"provider": telemetry.tracer_provider})
    return OpenTelemetryMiddleware(app, tracer_provider=telemetry.tracer_provider, exclude_spans=["receive", "send"])


@row("Starlette's `OpenTelemetryMiddleware`, tracing on")
def starlettes(stack: ExitStack, telemetry: Telemetry, observe: Observe) -> Any:
    middleware = pytest.importorskip("starlette.middleware.opentelemetry")
    app = routes(FastAPI())
    app.add_middleware(middleware.OpenTelemetryMiddleware)
    observe(app, tracing={"provider": telemetry.tracer_provider})
    return app


@row("`logfire.instrument_fastapi` before `observe`, tracing on")
def logfires(stack: ExitStack, telemetry: Telemetry, observe: Observe) -> Any:
    import logfire
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    processor = SimpleSpanProcessor(telemetry._spans)
    logfire.configure(send_to_logfire=False, console=False, additional_span_processors=[processor])
    app = routes(FastAPI())
    stack.enter_context(logfire.instrument_fastapi(app))
    observe(app, tracing={"provider": telemetry.tracer_provider})
    return app


@row("`sentry_sdk.init(traces_sample_rate=1.0)`, tracing on")
def sentrys(stack: ExitStack, telemetry: Telemetry, observe: Observe) -> Any:
    sentry = pytest.importorskip("sentry_sdk")

    class Nowhere(sentry.Transport):  # type: ignore[name-defined, misc]
        def capture_envelope(self, envelope: Any) -> None:
            """Keep nothing."""

    sentry.init(dsn="http://key@127.0.0.1:9/1", traces_sample_rate=1.0, transport=Nowhere)
    stack.callback(sentry.init)
    app = routes(FastAPI())
    observe(app, tracing={"provider": telemetry.tracer_provider})
    return app


@row("`integrations.sentry(traces=1.0)`, tracing on")
def sentrys_part(stack: ExitStack, telemetry: Telemetry, observe: Observe) -> Any:
    sentry = pytest.importorskip("sentry_sdk")

    class Nowhere(sentry.Transport):  # type: ignore[name-defined, misc]
        def capture_envelope(self, envelope: Any) -> None:
            """Keep nothing."""

    app = routes(FastAPI())
    part = integrations.sentry("http://key@127.0.0.1:9/1", traces=1.0, transport=Nowhere)
    observe(app, tracing={"provider": telemetry.tracer_provider}).add(part)
    return app


GLOBAL = {tracing_off, endpoint_too, starlettes}
"""Set-ups in which the application has made a provider the process'."""
MOUNTED = {mounted, contrib_below}
LASTING = {logfires, sentrys, sentrys_part}
"""Set-ups that change classes of Starlette or make a provider the process', for good: each has a process of its own."""


def documented() -> dict[str, list[str]]:
    """Return the cells of each row of the table."""
    text = TABLE.read_text(encoding="utf-8").partition("<!-- makers -->")[2].partition("<!-- end of makers -->")[0]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if "|" in line]
    return {name: cells for name, *cells in rows[2:]}


def test_the_table_has_every_set_up() -> None:
    """A row for each that is tried here, and for no other."""
    assert list(documented()) == list(made)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as entered:
        yield entered


@pytest.mark.parametrize("name", made)
async def test_one_server_span(
    name: str, stack: ExitStack, request: pytest.FixtureRequest, observe: Observe, lines: Lines
) -> None:
    """One server span, with the request's id and user on it, its ids in the lines: by whom the table says."""
    serve = made[name]
    if serve in LASTING and "ALONE" not in os.environ:
        passes_alone(request)
        return
    fixture = "global_telemetry" if serve in GLOBAL else "telemetry"
    telemetry: Telemetry = request.getfixturevalue(fixture)
    if serve in {tracing_off, given_by_name} and not NATIVE:
        pytest.skip("FastAPI before 0.142 makes no spans")
    app = serve(stack, telemetry, observe)
    path = "/sub/items/7" if serve in MOUNTED else "/items/7"
    answer = await ask(app, path=path)
    assert answer.status == 200
    (span,) = telemetry.server_spans
    assert span.context is not None
    assert span.instrumentation_scope is not None
    attributes = dict(span.attributes or {})
    (line,) = lines("request_processed")
    told = (line["trace_id"], line["span_id"]) == (f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}")
    cells = [
        "1",
        f"`{span.instrumentation_scope.name}`",
        _yes(told),
        _yes(attributes.get("belvedere.request_id") == answer.id),
        _yes(attributes.get("user.id") == "user-7"),
    ]
    assert cells == documented()[name]


def passes_alone(request: pytest.FixtureRequest) -> None:
    """Run this very test in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", request.node.nodeid]
    ran = subprocess.run(
        command,
        check=False,
        cwd=request.config.rootpath,
        env=environment | {"ALONE": "1"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout
    assert "1 passed" in ran.stdout


def _yes(answer: bool) -> str:
    return "yes" if answer else "no"


@native
async def test_operations(telemetry: Telemetry, observe: Observe) -> None:
    """`tracing.operations` brings FastAPI's spans of a request's parts below ours; otherwise there are none."""
    found: dict[bool, list[str]] = {}
    for operations in (False, True):
        app = mounting(routes(FastAPI()))
        telemetry._spans.clear()
        obs = observe(app, tracing={"provider": telemetry.tracer_provider, "operations": operations})
        await ask(app, path="/sub/items/7")
        obs.remove()
        (server,) = telemetry.server_spans
        below = [span for span in telemetry.spans if span.kind is not SpanKind.SERVER]
        assert server.context is not None
        for span in below:
            assert span.context is not None
            assert span.context.trace_id == server.context.trace_id
        assert all(span.parent is not None for span in below)
        found[operations] = sorted(span.name for span in below)
        assert (server.name, server.status.is_ok) == ("GET /sub/items/{item_id}", True)
    assert found[False] == []
    assert {"fastapi.endpoint"} <= set(found[True])
