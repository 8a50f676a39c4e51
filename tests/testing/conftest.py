"""An observed application whose telemetry the fixtures of `belvedere.testing` are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from fastapi import FastAPI

import belvedere

placed = belvedere.counter("testing_orders_placed", "Orders placed.", ["channel"])


def shop(**settings: Any) -> FastAPI:
    """An observed application with one route."""
    app = FastAPI(title="Shop")

    @app.get("/orders/{order_id}")
    async def order(order_id: int) -> int:
        belvedere.bind(user_id=7)
        structlog.get_logger("shop").info(
            "order_placed", order_id=order_id, password="hunter2", note="to a@shop.example"
        )
        placed.labels("web").inc(2)
        return order_id

    belvedere.observe(app, settings=belvedere.Settings(**settings))
    return app


@pytest.fixture
def app() -> Iterator[FastAPI]:
    """An application that is observed before the fixtures of Belvedere begin."""
    made = shop()
    yield made
    made.state.belvedere.remove()
