"""What the five contracts are asked with: an application each, its log lines, its scrapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI

import belvedere
from tests.drive import written
from tests.process import fresh_process

Lines = Callable[..., list[dict[str, Any]]]
Serve = Callable[[FastAPI], FastAPI]

SECURITY_HEADERS = [
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "strict-origin-when-cross-origin"),
    ("cross-origin-opener-policy", "same-origin"),
]


@pytest.fixture(autouse=True)
def _own_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with fresh_process(monkeypatch):
        yield


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Takes an application that is observed, and takes Belvedere off it after the test."""
    served: list[FastAPI] = []

    def keep(app: FastAPI) -> FastAPI:
        served.append(app)
        return app

    yield keep
    for app in reversed(served):
        observability: belvedere.Observability | None = getattr(app.state, "belvedere", None)
        if observability is not None:
            observability.remove()


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    """Returns the log lines since the last call; given a key and values, those that have one of them there.

    What differs from run to run is checked for its form and left out: `timestamp`, `latency_ms`, `exception`.
    """

    def read(key: str = "", *values: str) -> list[dict[str, Any]]:
        found = written(capsys)
        for line in found:
            assert next(iter(line)) == "timestamp"
            timestamp = line.pop("timestamp")
            assert len(timestamp) == len("2026-03-01T12:30:15.250000Z")
            assert timestamp.endswith("Z")
            if "latency_ms" in line:
                assert 0 <= line.pop("latency_ms") < 60_000
            if "exception" in line:
                assert line.pop("exception").startswith("Traceback (most recent call last):")
        return [line for line in found if not key or line.get(key) in values]

    return read
