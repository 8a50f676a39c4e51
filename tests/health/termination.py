"""Stand-ins for what a process does on SIGTERM: a server, an application that drains, and the loop's own table."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from belvedere.health import Drain, Health
from belvedere.health.termination import Termination
from belvedere.settings import Settings
from tests.health.conftest import Log

LOOPS = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
NewLoop = Callable[[], asyncio.AbstractEventLoop]


class Stopped(list[str]):
    """A server that is told to stop, as uvicorn's is."""

    should_exit = force_exit = False
    config: Any = None

    def handle_exit(self, number: int, frame: object) -> None:
        self.append(signal.Signals(number).name)


def drain(process: Termination, log: Log | None = None, **settings: Any) -> tuple[Drain, Health]:
    of = Settings(**{"environment": "production", **settings})
    health = Health(of)
    return Drain(of, health, log, process=process), health


def run(new_loop: NewLoop, main: Any) -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main)


async def turns() -> None:
    """Let the loop hear of signals and call back."""
    for _ in range(5):
        await asyncio.sleep(0.001)


def in_loop(loop: asyncio.AbstractEventLoop) -> dict[int, Any]:
    """Return the table of the loop's callbacks for signals."""
    known = getattr(loop, "_signal_handlers", None)
    tables = [known] if known is not None else [found for found in gc.get_referents(loop) if isinstance(found, dict)]
    return next(table for table in tables if hasattr(table.get(signal.SIGTERM), "cancelled"))
