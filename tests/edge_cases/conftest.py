"""An observed application without surroundings, and the lines that it writes."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

import belvedere
from tests.drive import observed, written
from tests.edge_cases.telemetry import global_telemetry, telemetry
from tests.process import fresh_process

__all__ = ["global_telemetry", "telemetry"]

Observe = Callable[..., belvedere.Observability]
Lines = Callable[..., list[dict[str, Any]]]

VARYING = ("timestamp", "latency_ms")
"""Keys of a log line that are another in each run."""


@pytest.fixture
def forgotten_streams() -> Iterator[None]:
    """Collect, with the test that left it, the stream that older `BaseHTTPMiddleware` forgets to close."""
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def _own_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with fresh_process(monkeypatch):
        yield


@pytest.fixture
def observe() -> Iterator[Observe]:
    """Observes applications as `drive.observed` does, until the test ends."""
    with ExitStack() as stack:
        yield lambda app, *parts, **settings: stack.enter_context(observed(app, *parts, **settings))


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    """Returns the log lines since the last call, those of one event if asked, without what varies from run to run."""

    def read(event: str | None = None) -> list[dict[str, Any]]:
        found = written(capsys)
        for line in found:
            assert line["timestamp"].endswith("Z")
            for key in VARYING:
                line.pop(key, None)
        return [line for line in found if event is None or line["event"] == event]

    return read
