"""The service under test: every way in which a recorded request can be answered.

It runs as `shop:app`; `DATABASE_URL` and `JOURNAL` say where interactions go, `MIDDLEWARE=1` puts Starlette's
`BaseHTTPMiddleware` around everything.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.middleware.base import BaseHTTPMiddleware

import belvedere
from belvedere import Interactions

engine = create_async_engine(os.environ["DATABASE_URL"])
interactions = Interactions(engine, subject="item_id", journal=os.environ["JOURNAL"])
app = FastAPI(title="Shop")
router = APIRouter(prefix="/shop")
record = interactions.record


class Query(BaseModel):
    """What is looked for."""

    text: str
    limit: int = 10


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

        await self.app(scope, receive, telling)


async def passing(request: Request, proceed: Any) -> Any:
    return await proceed(request)


if os.environ.get("MIDDLEWARE") == "1":
    app.add_middleware(BaseHTTPMiddleware, dispatch=passing)
app.add_middleware(Worker)


def signed_in() -> None:
    raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})


def not_too_many() -> None:
    raise HTTPException(429, headers={"Retry-After": "1"})


@app.api_route("/items/{id}", methods=["GET", "HEAD"], dependencies=[record("view", subject="id")])
async def view(id: int) -> dict[str, int]:
    belvedere.bind(user_id=f"u{id % 7}")
    if id >= 1_000_000:
        raise HTTPException(404)
    return {"id": id}


@app.post("/search", dependencies=[record("search")])
async def search(query: Query) -> list[int]:
    interactions.add(text=query.text)
    return list(range(query.limit))


@app.get("/private/{id}", dependencies=[record("private", subject="id"), Depends(signed_in)])
async def private(id: int) -> None: ...


@app.get("/often", dependencies=[Depends(not_too_many), record("often")])
async def often() -> None: ...


@app.get("/failing", dependencies=[record("fail")])
async def failing() -> None:
    raise RuntimeError("no stock")


@app.get("/stream", dependencies=[record("stream")])
async def stream() -> StreamingResponse:
    async def content() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b"x" * 100
            await asyncio.sleep(0.002)

    return StreamingResponse(content(), media_type="text/plain")


@app.get("/measured", dependencies=[record("measured")])
async def measured() -> StreamingResponse:
    """The answer is complete long before the application says that it is."""

    async def content() -> AsyncIterator[bytes]:
        yield b"x" * 100
        yield b"y" * 100
        await asyncio.sleep(0.05)

    return StreamingResponse(content(), media_type="text/plain", headers={"Content-Length": "200"})


@app.delete("/items/{id}", status_code=204, dependencies=[record("remove", subject="id")])
async def remove(id: int) -> None: ...


@app.get("/unchanged", dependencies=[record("unchanged")])
async def unchanged() -> Response:
    return Response(status_code=304)


@app.get("/empty", dependencies=[record("empty")])
async def empty() -> Response:
    return Response()


@app.post("/orders", status_code=201, dependencies=[record("order")])
async def order(request: Request, tasks: BackgroundTasks) -> dict[str, int]:
    tasks.add_task(asyncio.sleep, 0.05)
    return {"bytes": len(await request.body())}


@router.get("/{id}", dependencies=[record("shop", subject="id")])
def in_a_thread(id: int) -> dict[str, int]:
    belvedere.bind(user_id=f"u{id % 7}")
    return {"id": id}


@app.get("/slow", dependencies=[record("slow")])
async def slow(seconds: float = 0.3) -> dict[str, bool]:
    await asyncio.sleep(seconds)
    return {"done": True}


@app.get("/plain")
async def plain() -> dict[str, bool]:
    """Nothing of it is recorded."""
    return {"done": True}


@app.post("/many")
async def many(count: int) -> dict[str, int]:
    """Record so many interactions by hand."""
    for number in range(count):
        await interactions.log("many", subject=number, user_id="by hand", metadata={"number": number})
    return {"count": count}


app.include_router(router)
belvedere.observe(app, interactions, settings=belvedere.Settings(environment="endurance", health={"drain": 0}))
