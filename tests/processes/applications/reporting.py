"""An application that fails in every way there is, and reports to Sentry."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import sentry_sdk
from fastapi import BackgroundTasks, FastAPI, HTTPException, Request, Response, WebSocket
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint

import belvedere
from belvedere import integrations


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    if "FAIL" in os.environ:
        raise ConnectionAbortedError("at the end")


app = FastAPI(title="shop", version="1.2.3", lifespan=lifespan)
sub = FastAPI()


class Around(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)


class TakenError(Exception):
    """One that a handler answers."""


app.add_middleware(Around)


@app.exception_handler(TakenError)
async def taken(request: Request, error: Exception) -> Response:
    return JSONResponse({}, 409)


@app.post("/items/{item_id}")
async def item(item_id: int) -> int:
    return item_id


@app.get("/pid")
async def own_pid() -> int:
    return os.getpid()


@app.post("/pid")
async def pid(response: Response) -> Response:
    sentry_sdk.set_tag("pid", str(os.getpid()))
    try:
        raise PermissionError("by hand")
    except PermissionError as error:
        sentry_sdk.capture_exception(error)
    return Response(headers={"x-pid": str(os.getpid())})


@app.post("/broken/{item_id}")
async def broken(item_id: int) -> None:
    belvedere.bind(user_id="u-7", organization_id="acme", lines=[{"password": "hunter2"}])
    password = "hunter2"
    logging.getLogger("shop").info("before it with token=%s", password)
    try:
        raise KeyError("cause")
    except KeyError as cause:
        raise RuntimeError(f"login with password={password} failed for ana@example.com") from cause


@app.post("/sync/{item_id}")
def sync(item_id: int) -> None:
    raise LookupError("in a thread")


@app.post("/handled")
async def handled() -> None:
    try:
        raise ValueError("handled")
    except ValueError as error:
        sentry_sdk.capture_exception(error)
        logging.getLogger("shop").exception("logged")
    sentry_sdk.capture_message("by hand")
    await run_in_threadpool(sentry_sdk.capture_message, "from a thread")


@app.post("/handled/{number}")
async def nothing(number: int) -> int:
    # Sentry drops profiles of less than two samples, and takes a hundred a second.
    await asyncio.sleep(0.1)
    return number


@app.post("/twice")
async def twice() -> None:
    try:
        raise TimeoutError("reported, and raised on")
    except TimeoutError as error:
        sentry_sdk.capture_exception(error)
        raise


@app.post("/background")
async def background(tasks: BackgroundTasks) -> None:
    def fail() -> None:
        raise ArithmeticError("in the background")

    tasks.add_task(fail)


@app.post("/stream")
async def stream() -> StreamingResponse:
    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        raise EOFError("in the stream")

    return StreamingResponse(body())


@app.post("/status/{code}")
async def status(code: int) -> None:
    raise HTTPException(code)


@app.post("/handler")
async def handler() -> None:
    raise TakenError


@app.post("/group")
async def group() -> None:
    try:
        raise FileNotFoundError("in a group of one")
    except FileNotFoundError as error:
        sentry_sdk.capture_exception(error)
        raise ExceptionGroup("tasks", [error]) from error


@sub.post("/broken")
async def sub_broken() -> None:
    raise NotImplementedError("mounted") from KeyError("why")


@app.websocket("/ws")
async def ws(websocket: WebSocket) -> None:
    await websocket.accept()
    raise BufferError("accepted")


@app.websocket("/refused")
async def refused(websocket: WebSocket) -> None:
    raise OverflowError("refused")


app.mount("/sub/{tenant}", sub)
queue = int(os.environ.get("QUEUE", "100"))
belvedere.observe(app, integrations.sentry(transport_queue_size=queue), integrations.httpx())
