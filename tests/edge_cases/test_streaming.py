"""Streaming: what the application sends goes out as it is sent, and ends as it ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import BackgroundTasks, FastAPI, Request
from starlette.responses import FileResponse, StreamingResponse

import belvedere
from tests.drive import Exchange, Message, ask, samples
from tests.edge_cases.conftest import Lines, Observe

SECURITY = [
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "strict-origin-when-cross-origin"),
    ("cross-origin-opener-policy", "same-origin"),
]


async def test_each_event_goes_out_before_the_next_is_made(observe: Observe) -> None:
    """Nothing is buffered: the first byte of an event stream is sent while the application waits to make the second."""
    more = asyncio.Event()
    app = FastAPI()

    async def events() -> AsyncIterator[bytes]:
        yield b"data: 1\n\n"
        await more.wait()
        yield b"data: 2\n\n"

    app.get("/")(lambda: StreamingResponse(events(), media_type="text/event-stream"))
    observe(app)
    exchange = Exchange(app)
    task = exchange.start()
    start, first = await exchange.sent(2)
    assert start["type"] == "http.response.start"
    assert first == {"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True}
    assert not task.done()
    more.set()
    answer = await task
    assert answer.headers == [
        ("content-type", "text/event-stream; charset=utf-8"),
        ("x-request-id", answer.id),
        *SECURITY,
    ]
    assert [message["body"] for message in answer.messages[1:]] == [b"data: 1\n\n", b"data: 2\n\n", b""]


async def test_the_size_and_duration_are_those_of_the_whole_stream(observe: Observe, lines: Lines) -> None:
    """A stream is measured at its last byte: all of its bytes, all of its time, one observation."""
    app = FastAPI()

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(60):
            yield b"x" * 10
            await asyncio.sleep(0.001)

    app.get("/")(lambda: StreamingResponse(chunks()))
    observe(app)
    await ask(app)
    found = await samples(app, "http_response_size_bytes", "http_request_duration_seconds")
    labels = 'method="GET",endpoint="/"'
    assert found[f"http_response_size_bytes_sum{{{labels}}}"] == 600.0
    assert found[f'http_response_size_bytes_bucket{{{labels},le="100.0"}}'] == 0.0
    assert found[f'http_response_size_bytes_bucket{{{labels},le="1000.0"}}'] == 1.0
    assert found[f"http_request_duration_seconds_count{{{labels}}}"] == 1.0
    assert found[f"http_request_duration_seconds_sum{{{labels}}}"] >= 0.06
    assert [line["response_bytes"] for line in lines("request_processed")] == [600]


async def test_background_tasks_are_not_in_the_duration(observe: Observe) -> None:
    """The request is finished at its last byte, while its background task still runs."""
    leave = asyncio.Event()
    app = FastAPI()

    @app.get("/")
    async def answered(tasks: BackgroundTasks) -> None:
        tasks.add_task(leave.wait)

    observe(app)
    exchange = Exchange(app)
    task = exchange.start()
    await exchange.sent(2)
    assert await samples(app, "http_requests_") == {
        'http_requests_total{method="GET",endpoint="/",status="200"}': 1.0,
        'http_requests_in_progress{method="GET"}': 0.0,
    }
    leave.set()
    await task


async def test_an_open_event_stream_is_in_no_latency_yet(observe: Observe) -> None:
    """A stream that is still open has no duration, and never shares a series with another route's objective."""
    more = asyncio.Event()
    app = FastAPI()

    async def events() -> AsyncIterator[bytes]:
        yield b"data: 1\n\n"
        await more.wait()

    app.get("/events")(lambda: StreamingResponse(events(), media_type="text/event-stream"))
    app.get("/fast")(lambda: "ok")
    obs = observe(app, belvedere.SLO("fast", objective=99.0, latency=0.3, routes=["GET /fast"]))
    exchange = Exchange(app, path="/events")
    task = exchange.start()
    await exchange.sent(2)
    await ask(app, path="/fast")
    found = await samples(app, "http_request_duration_seconds_count", "http_requests_in_progress")
    assert found == {
        'http_request_duration_seconds_count{method="GET",endpoint="/fast"}': 1.0,
        'http_requests_in_progress{method="GET"}': 1.0,
    }
    assert [slo["routes"] for slo in obs.catalogue()["slos"]] == [["GET /fast"]]
    more.set()
    await task


async def test_an_early_close_of_a_generator_complains_about_nothing(
    observe: Observe, lines: Lines, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    """A generator that is closed early, and by somebody else, leaves its `LogContext` without a complaint."""
    app = FastAPI()
    made: list[AsyncGenerator[bytes, None]] = []

    async def events() -> AsyncGenerator[bytes, None]:
        with belvedere.LogContext(stream="s"):
            while True:
                yield b"tick"
                await asyncio.sleep(0)

    @app.get("/")
    async def stream() -> StreamingResponse:
        made.append(events())
        return StreamingResponse(made[0])

    observe(app)
    exchange = Exchange(app, gone_raises=True)
    task = exchange.start()
    await exchange.sent(3)
    exchange.disconnect()
    await task
    await made[0].aclose()  # in this task's context, where the block did not begin
    assert [line["event"] for line in lines()] == ["request_processed"]
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert list(recwarn) == []


async def test_a_sync_generator_streams_with_the_id(observe: Observe) -> None:
    """A sync generator runs in worker threads, and knows the id in each of its steps."""
    app = FastAPI()

    def chunks() -> Iterator[str]:
        yield f"{belvedere.request_id()}\n"
        yield f"{belvedere.request_id()}\n"

    app.get("/")(lambda: StreamingResponse(chunks()))
    observe(app)
    answer = await ask(app)
    assert answer.body.decode() == f"{answer.id}\n{answer.id}\n"


async def test_unknown_extensions_pass_through(observe: Observe) -> None:
    """What Belvedere does not know goes to the server as it is, before and after the answer began."""
    app = FastAPI()
    messages: list[Message] = [
        {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]},
        {"type": "http.response.debug", "info": {"template": "t"}},
        {"type": "http.response.start", "status": 200, "headers": []},
        {"type": "http.response.zerocopysend", "file": 7},
        {"type": "http.response.body", "body": b"end"},
    ]

    async def raw(scope: Any, receive: Any, send: Any) -> None:
        assert scope["extensions"] == {"http.response.debug": {}, "vendor.own": {"x": 1}}
        for message in messages:
            await send(message)

    app.mount("/raw", raw)
    observe(app)
    answer = await ask(app, path="/raw/x", extensions={"http.response.debug": {}, "vendor.own": {"x": 1}})
    expected = [dict(message) for message in messages]
    expected[2]["headers"] = [(b"x-request-id", answer.id.encode())] + [
        (name.encode(), value.encode()) for name, value in SECURITY
    ]
    assert answer.messages == expected
    assert messages[2] == {"type": "http.response.start", "status": 200, "headers": []}


async def test_a_file_sent_by_the_server_ends_the_request(observe: Observe, lines: Lines, tmp_path: Path) -> None:
    """`http.response.pathsend` is a last byte: counted once, while a body that never comes is not waited for."""
    (tmp_path / "a.txt").write_text("a")
    app = FastAPI()
    app.get("/")(lambda: FileResponse(tmp_path / "a.txt"))
    observe(app)
    answer = await ask(app, extensions={"http.response.pathsend": {}})
    assert [message["type"] for message in answer.messages] in (
        ["http.response.start", "http.response.pathsend"],
        ["http.response.start", "http.response.body"],  # before Starlette 0.39
        ["http.response.start", "http.response.body", "http.response.body"],
    )
    assert [line["status"] for line in lines("request_processed")] == [200]


async def test_trailers_are_the_end_of_an_answer_that_announced_them(observe: Observe, lines: Lines) -> None:
    """With trailers announced, the last body is not the last byte."""
    app = FastAPI()
    middle = asyncio.Event()
    go = asyncio.Event()

    async def raw(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
        await send({"type": "http.response.body", "body": b"body"})
        middle.set()
        await go.wait()
        await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]})

    app.mount("/raw", raw)
    observe(app)
    task = Exchange(app, path="/raw/x", extensions={"http.response.trailers": {}}).start()
    await middle.wait()
    assert lines("request_processed") == []
    go.set()
    answer = await task
    assert answer.messages[-1] == {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]}
    assert [line["status"] for line in lines("request_processed")] == [200]


async def test_a_streamed_request_body_is_measured_as_it_is_read(observe: Observe) -> None:
    """Without a length, the bytes that the application read are the request's size."""
    app = FastAPI()

    @app.post("/")
    async def read(request: Request) -> int:
        return len(await request.body())

    observe(app)
    await ask(app, "POST", body=[b"x" * 600, b"y" * 600])
    found = await samples(app, "http_request_size_bytes_sum")
    assert found == {'http_request_size_bytes_sum{method="POST",endpoint="/"}': 1200.0}
