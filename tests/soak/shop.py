"""The service that is soaked: every way in which a request can go."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

import belvedere

app = FastAPI(title="Shop")
log = belvedere.get_logger("shop")
placed = belvedere.counter("shop_orders_placed_total", "Orders placed.", ["channel"])


class Order(BaseModel):
    """An order as it comes in."""

    channel: str
    quantity: int


class Worker:
    """Tells in each answer which process gave it."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.header = (b"x-worker", str(os.getpid()).encode())

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def telling(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], self.header]
            await send(message)

        await self.app(scope, receive, telling if scope["type"] == "http" else send)


app.add_middleware(Worker)


@app.get("/orders/{number}")
async def read(number: int) -> dict[str, int]:
    log.info("order_read", number=number)
    return {"number": number}


@app.post("/orders", status_code=201)
async def place(order: Order) -> dict[str, str]:
    belvedere.bind(channel=order.channel)
    placed.labels(order.channel).inc()
    return {"channel": order.channel}


@app.get("/sync")
def in_a_thread() -> dict[str, str | None]:
    log.info("in_a_thread")
    return {"id": belvedere.request_id()}


@app.get("/failing")
async def failing() -> None:
    raise RuntimeError("no stock")


@app.get("/slow")
async def slow() -> dict[str, bool]:
    await asyncio.sleep(0.2)
    return {"done": True}


@app.get("/stream")
async def stream(chunks: int = 20) -> StreamingResponse:
    async def content() -> AsyncIterator[bytes]:
        for _ in range(chunks):
            yield b"x" * 1000
            await asyncio.sleep(0.005)

    return StreamingResponse(content(), media_type="text/plain")


@app.websocket("/live")
async def live(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while True:
            await websocket.receive_text()
            await websocket.send_text(str(os.getpid()))
    except WebSocketDisconnect:
        return


belvedere.observe(app, settings=belvedere.Settings(environment="soak", health={"drain": 0}))
