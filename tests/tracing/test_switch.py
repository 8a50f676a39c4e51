"""When tracing is on, when it is off, and what is then imported."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from fastapi import FastAPI
from opentelemetry import trace

import belvedere
from belvedere import Settings
from tests.drive import ask
from tests.tracing.conftest import Kept, Lines, Observe

ENDPOINT = "http://127.0.0.1:9"


def run(code: str, **environment: str) -> str:
    """Run `code` in a fresh interpreter and return what it printed."""
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "BELVEDERE_"))}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
        env={**settings, **environment},
    )
    return done.stdout.strip()


REPORT = (
    "import sys, fastapi, belvedere\n"
    "obs = belvedere.observe(fastapi.FastAPI(), settings=belvedere.Settings({settings}))\n"
    "print(obs.report()['tracing']['state'], any(name.startswith('opentelemetry.sdk') for name in sys.modules))\n"
)


@pytest.mark.parametrize(
    ("settings", "environment", "expected"),
    [
        ("", {}, "off False"),
        ("tracing=None", {"OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT}, "off False"),
        ("", {"OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT, "OTEL_SDK_DISABLED": "true"}, "off False"),
        ("tracing={'endpoint': 'http://127.0.0.1:9'}", {"OTEL_SDK_DISABLED": "TRUE"}, "off False"),
        ("", {"OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT, "OTEL_TRACES_EXPORTER": "None"}, "off False"),
        ("", {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": ENDPOINT, "OTEL_TRACES_EXPORTER": "none"}, "off False"),
        ("", {"BELVEDERE_TRACING__ENDPOINT": "http://127.0.0.1:8", "OTEL_TRACES_EXPORTER": "none"}, "on True"),
        ("", {"OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT, "OTEL_TRACES_EXPORTER": "otlp"}, "on True"),
        ("", {"OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT}, "on True"),
        ("", {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": ENDPOINT}, "on True"),
        ("", {"BELVEDERE_TRACING__ENDPOINT": ENDPOINT}, "on True"),
    ],
)
def test_what_turns_it_on(settings: str, environment: dict[str, str], expected: str) -> None:
    """An endpoint does, by any of its variables; otherwise nothing of OpenTelemetry's SDK is imported."""
    assert run(REPORT.replace("{settings}", settings), **environment) == expected


@pytest.mark.parametrize(
    ("absent", "protocol"),
    [("opentelemetry.sdk", "http/protobuf"), ("opentelemetry.exporter.otlp.proto.grpc", "grpc")],
)
def test_a_missing_extra_names_its_installation(absent: str, protocol: str) -> None:
    """Asked for and not installed: one message that says what to do."""
    code = (
        f"import sys; sys.modules[{absent!r}] = None\n"
        "import fastapi, belvedere\n"
        "app = fastapi.FastAPI()\n"
        "try:\n    belvedere.observe(app)\n"
        "except ImportError as error: print(error, hasattr(app.state, 'belvedere'))\n"
    )
    printed = run(code, OTEL_EXPORTER_OTLP_ENDPOINT=ENDPOINT, OTEL_EXPORTER_OTLP_PROTOCOL=protocol)
    assert printed.startswith(f"tracing needs {absent}")
    assert printed.endswith("which is not installed: pip install 'belvedere[otel]' False")


async def test_remove_undoes_all(kept: Kept, observe: Observe) -> None:
    """Afterwards no span is made, the process has no provider, and FastAPI's own telemetry is as it was."""
    app = FastAPI()
    app.get("/")(lambda: None)
    telemetry: Any = getattr(app, "_telemetry", {})
    before = dict(telemetry)
    obs = observe(app, tracing={"provider": kept.provider})
    assert trace.get_tracer_provider() is kept.provider
    await ask(app)
    obs.remove()
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
    assert dict(telemetry) == before
    await ask(app)
    assert [span.name for span in kept.spans] == ["GET /"]


async def test_an_application_that_serves_already(kept: Kept, observe: Observe) -> None:
    """Observed after its first request, it has spans from the next one on."""
    app = FastAPI()
    app.get("/")(lambda: None)
    await ask(app)
    observe(app, tracing={"provider": kept.provider})
    await ask(app)
    assert [span.name for span in kept.spans] == ["GET /"]


async def test_state_and_lines_outside_and_inside(kept: Kept, observe: Observe, lines: Lines) -> None:
    """`request.state.trace_id` is the span's, also where the caller brought an id of its own."""
    app = FastAPI()

    @app.get("/")
    async def root() -> None:
        belvedere.get_logger("shop").info("inside")

    observe(app, tracing={"provider": kept.provider})
    answer = await ask(app, headers=[(b"x-request-id", b"callers-own")])
    assert answer.id == "callers-own"
    span = kept.one("GET /")
    assert span.context is not None
    assert (span.attributes or {})["belvedere.request_id"] == "callers-own"
    found = lines()
    assert {line["request_id"] for line in found} == {"callers-own"}
    assert {line["trace_id"] for line in found} == {f"{span.context.trace_id:032x}"}
    assert {line["span_id"] for line in found} == {f"{span.context.span_id:016x}"}


async def test_hex_ids_are_trace_ids(kept: Kept, observe: Observe) -> None:
    """With `requests.format = "hex"` request id and trace id are one text, unless the caller made the former."""
    app = FastAPI()
    app.get("/")(lambda: None)
    observe(app, tracing={"provider": kept.provider}, requests={"format": "hex"})
    made = await ask(app)
    given = await ask(app, headers=[(b"x-request-id", b"0123456789abcdef0123456789abcdef")])
    first, second = (f"{span.context.trace_id:032x}" for span in kept.spans if span.context)
    assert made.id == first
    assert second != given.id


def test_settings_show_no_headers() -> None:
    """The headers of an export are secrets."""
    settings = Settings(tracing={"endpoint": ENDPOINT, "headers": "authorization=Bearer abc"})
    assert "abc" not in repr(settings)
