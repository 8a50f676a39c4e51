"""Applications observed for one test; what belongs to the process is as before afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from fastapi import FastAPI
from prometheus_client import REGISTRY

import belvedere
from belvedere.settings import Settings
from tests.process import fresh_process

Observe = Callable[..., belvedere.Observability]


class Clock:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def _own_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with fresh_process(monkeypatch):
        yield


@pytest.fixture
def observe(clock: Clock) -> Iterator[Observe]:
    """Observes applications until the test ends: without logs unless told otherwise, timed by `clock`."""
    with ExitStack() as stack:

        def observe(
            app: Any, *parts: belvedere.Part, registry: Any = REGISTRY, **settings: Any
        ) -> belvedere.Observability:
            settings = {"service": "shop", "logs": None, **settings}
            made = belvedere.observe(app, *parts, settings=Settings(**settings), registry=registry)
            stack.callback(made.remove)
            made._plan.clock = clock
            return made

        yield observe


@pytest.fixture
def app(observe: Observe) -> FastAPI:
    """An observed application without routes."""
    app = FastAPI()
    observe(app)
    return app
