"""Observed applications whose spans stay in the process, or go to a collector of the tests' own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import belvedere
from belvedere.tracing import queue
from belvedere.tracing.queue import Queue
from tests.drive import DEADLINE, observed, written
from tests.edge_cases.telemetry import global_telemetry, telemetry
from tests.process import fresh_process
from tests.tracing.receiver import Receiver, receiving

__all__ = ["global_telemetry", "telemetry"]

Observe = Callable[..., belvedere.Observability]
Lines = Callable[..., list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def _own_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with fresh_process(monkeypatch):
        yield


@dataclass
class Kept:
    """A provider that keeps what ends."""

    provider: TracerProvider
    exporter: InMemorySpanExporter

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def one(self, name: str) -> ReadableSpan:
        """Return the one span of that name."""
        (found,) = [span for span in self.spans if span.name == name]
        return found


def keeping(**options: Any) -> Kept:
    """Return a provider of the SDK whose spans are kept."""
    kept = Kept(TracerProvider(shutdown_on_exit=False, **options), InMemorySpanExporter())
    kept.provider.add_span_processor(SimpleSpanProcessor(kept.exporter))
    return kept


@pytest.fixture
def kept() -> Iterator[Kept]:
    made = keeping()
    yield made
    made.provider.shutdown()


@pytest.fixture
def observe() -> Iterator[Observe]:
    """Observes applications as `drive.observed` does, until the test ends."""
    with ExitStack() as stack:
        yield lambda app, *parts, **settings: stack.enter_context(observed(app, *parts, **settings))


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    """Returns the log lines since the last call, those of one event if asked."""
    return lambda event=None: [line for line in written(capsys) if event is None or line["event"] == event]


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A collector; an end waits for it as long as a busy machine takes: what arrives is asked, not how quickly."""
    for leaves in (Queue.take_leave, Queue.close):
        monkeypatch.setattr(leaves, "__defaults__", (DEADLINE,))
    monkeypatch.setattr(queue, "HANGS", DEADLINE)
    with receiving() as made:
        yield made


def hexes(span: ReadableSpan) -> tuple[str, str]:
    """Return trace and span id as they are written."""
    assert span.context is not None
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"
