"""A shop whose visits are recorded, and what tests of their delivery wait for and read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI

from belvedere import Interactions
from tests.drive import written

DEADLINE = 60.0


async def until(there: Callable[[], Any]) -> Any:
    """Wait for something that happens on this loop, and return it."""
    async with asyncio.timeout(DEADLINE):
        while not (found := there()):  # noqa: ASYNC110 - nobody sets an event for it
            await asyncio.sleep(0.01)
        return found


def shop(interactions: Interactions) -> FastAPI:
    app = FastAPI()

    @app.get("/items/{id}", dependencies=[interactions.record("view", subject="id")])
    async def view(id: int) -> None:
        """Answer with nothing."""

    return app


def events(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the events about interactions that were logged."""
    return [line["event"] for line in written(capsys) if line["event"].startswith("interactions_")]
