"""Parameters of a path that are called like a secret are shown nowhere: neither in the log, nor on spans."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, HTTPException
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from belvedere.redaction import Redactor
from tests.drive import ask, observed, written


@pytest.mark.parametrize(
    ("template", "path", "shown"),
    [
        ("/items/{item_id}", "/items/7", "/items/7"),
        ("<unmatched>", "/reset/hunter2", "/reset/hunter2"),
        ("/reset/{token}", "/reset/hunter2", "/reset/[redacted]"),
        ("/reset/{token}", "/api/v1/reset/reset", "/api/v1/reset/[redacted]"),
        ("/users/{user}/keys/{api_key}/use", "/users/keys/keys/keys/use", "/users/keys/keys/[redacted]/use"),
        ("/{token}/{password}", "/a/b", "/[redacted]/[redacted]"),
        ("/verify-{token}.html", "/verify-a-b.html", "/verify-[redacted].html"),
        ("/reset/{token}", "/reset/line\nbreak", "/reset/[redacted]"),
        # Where a parameter has slashes, and where a template is not the path's, nothing of the path is shown.
        ("/files/{token:path}", "/files/a/b/c", "/files/{token:path}"),
        ("/reset/{token}", "/elsewhere", "/reset/{token}"),
        ("/reset/{token}", "/reset/" + "x" * 5000, "/reset/{token}"),
    ],
)
def test_what_is_shown_of_a_path(template: str, path: str, shown: str) -> None:
    """Parameters with a secret's name are redacted; what stands around them stays."""
    assert Redactor().paths.shown(template, path) == shown


def test_allowed_and_own_names() -> None:
    """The settings that allow and redact keys hold for names of parameters."""
    redactor = Redactor(redact=["slug"], allow=["token"])
    assert redactor.paths.shown("/{token}/{slug}", "/a/b") == "/a/[redacted]"


def shop() -> FastAPI:
    """Routes that have a secret in their path."""
    app, router = FastAPI(), APIRouter(prefix="/reset")

    @router.get("/{token}")
    async def reset(token: str) -> str:
        if token == "gone":
            raise HTTPException(410)
        if token == "broken":
            raise RuntimeError("broken")
        return "reset"

    app.include_router(router)
    return app


@pytest.mark.parametrize("logs", [{}, {"redact": ["status"]}], ids=["by a form", "by the pipeline"])
async def test_no_line_shows_it(capsys: pytest.CaptureFixture[str], logs: dict[str, Any]) -> None:
    """The access line, and those of errors, of whatever form, show the path without it."""
    app = shop()
    with observed(app, logs={"format": "json", **logs}):
        for token in ("hunter2", "gone", "broken"):
            await ask(app, path=f"/reset/{token}", root_path="")
        lines = [line for line in written(capsys) if "path" in line]
    assert [(line["event"], line["path"]) for line in lines] == [
        ("request_processed", "/reset/[redacted]"),
        ("http_exception", "/reset/[redacted]"),
        ("request_processed", "/reset/[redacted]"),
        ("unhandled_exception", "/reset/[redacted]"),
        ("request_processed", "/reset/[redacted]"),
    ]


async def test_no_span_shows_it() -> None:
    """A server span's `url.path` is without it."""
    app, exporter, provider = shop(), InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with observed(app, tracing={"provider": provider}):
        await ask(app, path="/reset/hunter2")
    (span,) = exporter.get_finished_spans()
    assert (span.name, (span.attributes or {})["url.path"]) == ("GET /reset/{token}", "/reset/[redacted]")
