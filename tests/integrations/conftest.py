"""Integrations in observed applications, on real servers behind a relay that can be cut or made to hang."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

import belvedere
from tests.drive import observed, written
from tests.integrations.relay import Relay
from tests.process import fresh_process
from tests.tracing.conftest import Kept, keeping

Observe = Callable[..., belvedere.Observability]
Lines = Callable[..., list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def _own_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with fresh_process(monkeypatch):
        yield


@pytest.fixture
def observe() -> Iterator[Observe]:
    """Observes applications as `drive.observed` does, until the test ends; checks are run whenever asked."""

    def observing(app: Any, *parts: belvedere.Part, **settings: Any) -> belvedere.Observability:
        health = {"cache": 0, "interval": 0, "payload": "full", "detailed": "/detailed", "startup": "/startupz"}
        return stack.enter_context(observed(app, *parts, **{"health": health, **settings}))

    with ExitStack() as stack:
        yield observing


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    """Returns the log lines since the last call, those of one event if asked."""
    return lambda event=None: [line for line in written(capsys) if event is None or line["event"] == event]


@pytest.fixture
def kept() -> Iterator[Kept]:
    """A provider that keeps the spans that end."""
    made = keeping()
    yield made
    made.provider.shutdown()


@pytest.fixture
async def relay() -> AsyncIterator[Callable[[str, int], Any]]:
    """Makes relays to servers, which are gone after the test."""
    made: list[Relay] = []

    async def make(host: str, port: int) -> Relay:
        made.append(Relay(host, port))
        await made[-1].up()
        return made[-1]

    yield make
    for one in made:
        await one.down()
