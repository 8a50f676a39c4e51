"""An application with each kind of route: one makes spans, one runs in a thread, one fails, one is a WebSocket."""

from __future__ import annotations

import asyncio

from fastapi import BackgroundTasks, FastAPI, HTTPException, WebSocket
from opentelemetry import trace

import belvedere


def shop() -> FastAPI:
    app = FastAPI()

    @app.get("/items/{item_id}")
    async def item(item_id: int) -> int:
        belvedere.bind(user_id=f"user-{item_id}")
        with trace.get_tracer("shop").start_as_current_span("look"):
            await asyncio.sleep(0)
        return 10 // item_id

    @app.get("/thread")
    def thread(tasks: BackgroundTasks) -> str:
        with trace.get_tracer("shop").start_as_current_span("in thread"):
            tasks.add_task(later)
            return "done"

    def later() -> None:
        with trace.get_tracer("shop").start_as_current_span("later"):
            pass

    @app.get("/busy")
    async def busy() -> int:
        raise HTTPException(503)

    @app.websocket("/rooms/{room}")
    async def rooms(socket: WebSocket, room: str) -> None:
        if room == "closed":
            return await socket.close()
        await socket.accept()
        with trace.get_tracer("shop").start_as_current_span("talk"):
            await socket.receive_text()
        return None

    return app
