"""What limited routes answer: headers on whatever they return, 429 in the shape of every error, and the document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi import Depends, FastAPI, HTTPException, Response, WebSocket
from fastapi.responses import FileResponse, StreamingResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from belvedere import RateLimiter
from belvedere.ratelimit.local import LocalStore
from tests.drive import Answer, Socket, ask, observed, written


def still() -> RateLimiter:
    """Return a limiter in memory for which no time passes."""
    limiter = RateLimiter()
    limiter.local = LocalStore("fixed-window", clock=lambda: 1000.0)
    return limiter


def fields(answer: Answer) -> dict[str, str]:
    """The header fields of rate limits, each there once at most."""
    found = [pair for pair in answer.headers if pair[0].lower() in {"ratelimit", "ratelimit-policy", "retry-after"}]
    assert len(found) == len(dict(found)), found
    return dict(found)


def application(limiter: RateLimiter, folder: Path) -> FastAPI:
    """Return an application whose limited routes answer in as many ways as there are."""
    app = FastAPI()
    limited: Any = [limiter.limit("2/minute")]
    (folder / "file.txt").write_text("text")

    @app.get("/dict", dependencies=limited)
    def from_thread() -> dict[str, int]:
        return {"a": 1}

    @app.get("/response", dependencies=limited)
    async def response() -> Response:
        return Response("text")

    @app.get("/stream", dependencies=limited)
    async def stream() -> StreamingResponse:
        return StreamingResponse(iter(["a", "b"]))

    @app.get("/file", dependencies=limited)
    async def file() -> FileResponse:
        return FileResponse(folder / "file.txt")

    @app.get("/nothing", dependencies=limited)
    async def nothing() -> Response:
        return Response(status_code=204)

    @app.get("/refused", dependencies=limited)
    async def refused() -> None:
        raise HTTPException(409, "conflict")

    @app.get("/broken", dependencies=limited)
    async def broken() -> None:
        raise RuntimeError("broken")

    @app.get("/invalid", dependencies=limited)
    async def invalid(number: int) -> int:
        return number

    @app.get("/argument")
    async def argument(_: None = Depends(limiter.limit("2/minute"))) -> str:
        return "a"

    @app.get("/default")
    async def default(_: Any = limiter.limit("2/minute")) -> str:  # noqa: B008 - it is made to stand there
        return "a"

    sub = FastAPI()
    sub.get("/items/{item}", dependencies=limited)(from_thread)
    app.mount("/mounted", sub)
    return app


WAYS = {
    "/dict": 200,
    "/response": 200,
    "/stream": 200,
    "/file": 200,
    "/nothing": 204,
    "/refused": 409,
    "/broken": 500,
    "/invalid": 422,
    "/argument": 200,
    "/default": 200,
    "/mounted/items/7": 200,
}


@pytest.mark.parametrize("path", WAYS)
async def test_headers_are_on_whatever_is_answered(path: str, tmp_path: Path) -> None:
    """What is left goes out with a dict, a response, a stream, a file, an error raised later, and from a mount."""
    limiter = still()
    app = application(limiter, tmp_path)
    with observed(app, limiter):
        first, second, third = [await ask(app, "GET", path) for _ in range(3)]
    policy = '"2-per-minute";q=2;w=60'
    assert (first.status, fields(first)) == (
        WAYS[path],
        {"ratelimit": '"2-per-minute";r=1;t=60', "ratelimit-policy": policy},
    )
    assert (second.status, fields(second)["ratelimit"]) == (WAYS[path], '"2-per-minute";r=0;t=60')
    assert (third.status, fields(third)) == (
        429,
        {"ratelimit": '"2-per-minute";r=0;t=60', "ratelimit-policy": policy, "retry-after": "60"},
    )
    assert third.json() == {"error": "http_429", "message": "Too Many Requests", "request_id": third.id}


async def test_a_problem_document_for_whoever_asks_for_one(tmp_path: Path) -> None:
    """A 429 is a problem document too, with the same headers."""
    limiter = still()
    app = application(limiter, tmp_path)
    with observed(app, limiter):
        problem = [(b"accept", b"application/problem+json")]
        *_, answer = [await ask(app, "GET", "/dict", headers=problem) for _ in range(3)]
    assert answer.all("content-type") == ["application/problem+json"]
    assert answer.json() == {
        "type": "about:blank",
        "title": "Too Many Requests",
        "status": 429,
        "detail": "Too Many Requests",
        "request_id": answer.id,
    }
    assert fields(answer).keys() == {"ratelimit", "ratelimit-policy", "retry-after"}


async def test_several_limits_are_told_together(tmp_path: Path) -> None:
    """Limits of one text, of several calls, of the router and of the application: one field each names them all."""
    limiter = still()
    app = FastAPI(dependencies=[limiter.limit("100/hour", name="all")])

    @app.get("/", dependencies=[limiter.limit("30/minute; 5 per second"), limiter.limit("2/10 seconds")])
    async def root() -> str:
        return "a"

    with observed(app, limiter):
        first = fields(await ask(app))
        await ask(app)
        third = await ask(app)
    policies = '"all";q=100;w=3600, "5-per-second";q=5;w=1, "30-per-minute";q=30;w=60, "2-per-10-second";q=2;w=10'
    assert first == {
        "ratelimit": '"all";r=99;t=3600, "5-per-second";r=4;t=1, "30-per-minute";r=29;t=60, "2-per-10-second";r=1;t=10',
        "ratelimit-policy": policies,
    }
    assert third.status == 429
    assert fields(third)["ratelimit-policy"] == policies
    assert fields(third)["retry-after"] == "10"
    assert fields(third)["ratelimit"].endswith('"2-per-10-second";r=0;t=10')


async def test_what_a_short_window_refuses_is_not_taken_from_a_long_one() -> None:
    """Of several limits, the shortest window is asked first; those after it are not asked."""
    limiter = still()
    app = FastAPI()
    app.get("/", dependencies=[limiter.limit("30/hour;1/minute")])(lambda: "a")
    with observed(app, limiter):
        answers = [await ask(app) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 429, 429]
    assert fields(answers[0])["ratelimit"] == '"1-per-minute";r=0;t=60, "30-per-hour";r=29;t=3600'
    assert fields(answers[2])["ratelimit"] == '"1-per-minute";r=0;t=60'


async def test_the_applications_own_header_wins() -> None:
    """A header of the same name that the application sets stands alone."""
    limiter = still()
    app = FastAPI()
    app.get("/", dependencies=[limiter.limit("2/minute")])(lambda: Response("a", headers={"RateLimit": "mine"}))
    with observed(app, limiter):
        assert fields(await ask(app)) == {"ratelimit": "mine", "ratelimit-policy": '"2-per-minute";q=2;w=60'}


async def test_a_handler_of_the_application_answers_the_429() -> None:
    """An application that answers errors itself sees an `HTTPException`; its answer has the fields too."""
    limiter = still()
    app = FastAPI()
    app.get("/", dependencies=[limiter.limit("0/minute")])(lambda: "a")

    @app.exception_handler(StarletteHTTPException)
    async def handle(_: Any, error: StarletteHTTPException) -> Response:
        assert dict(error.headers or {})["Retry-After"] == "60"
        return Response("later", error.status_code)

    with observed(app, limiter):
        answer = await ask(app)
    assert (answer.status, answer.body) == (429, b"later")
    assert fields(answer).keys() == {"ratelimit", "ratelimit-policy", "retry-after"}
    assert fields(answer)["retry-after"] == "60"


async def test_it_is_logged_and_counted_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A 429 is one `http_exception` and one access line, both warnings, and one decision."""
    limiter = still()
    app = application(limiter, tmp_path)
    with observed(app, limiter):
        written(capsys)
        for _ in range(3):
            await ask(app, "GET", "/dict")
        scrape = (await ask(app, "GET", "/metrics")).body.decode()
        lines = [line for line in written(capsys) if line["level"] == "warning"]
    assert [(line["event"], line["path"]) for line in lines] == [
        ("http_exception", "/dict"),
        ("request_processed", "/dict"),
    ]
    assert [line for line in scrape.splitlines() if line.startswith("belvedere_rate_limit")] == [
        'belvedere_rate_limit_decisions_total{limit="GET /dict",outcome="allowed"} 2.0',
        'belvedere_rate_limit_decisions_total{limit="GET /dict",outcome="refused"} 1.0',
    ]


async def test_the_document_of_limited_routes_has_the_429(tmp_path: Path) -> None:
    """Where a limit is among a route's dependencies, however it got there, and nowhere else."""
    limiter = still()
    app = application(limiter, tmp_path)
    app.get("/free")(lambda: "a")

    @app.get("/own", dependencies=[limiter.limit("2/minute")], responses={429: {"description": "mine"}})
    async def own() -> str:
        return "a"

    with observed(app, limiter):
        document = json.loads((await ask(app, "GET", "/openapi.json")).body)
    answers = {path: item["get"]["responses"].get("429") for path, item in document["paths"].items()}
    assert answers.pop("/free") is None
    assert answers.pop("/own")["description"] == "mine"
    assert answers.keys() == WAYS.keys() - {"/mounted/items/7"}
    for answer in answers.values():
        assert answer["headers"].keys() == {"Retry-After", "RateLimit", "RateLimit-Policy"}
        assert answer["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/ErrorEnvelope"}


async def test_a_websocket_is_refused_before_it_is_accepted() -> None:
    """A limit holds for WebSocket routes as well: they are closed before they are accepted, to be tried again later."""
    limiter = still()
    app = FastAPI()

    @app.websocket("/ws", dependencies=[limiter.limit("1/minute")])
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()

    with observed(app, limiter):
        first, second = [await Socket(app, "/ws").run() for _ in range(2)]
    assert first.messages[0]["type"] == "websocket.accept"
    assert [(message["type"], message["code"]) for message in second.messages] == [("websocket.close", 1013)]


async def test_without_observe_limits_hold_and_a_429_has_the_headers() -> None:
    """An application that is not observed is limited by route, behind included routers and in mounts too."""
    limiter = still()
    app, sub = FastAPI(), FastAPI()
    for target in (app, sub):
        for path in ("/a/{x}", "/b/{x}"):
            target.get(path, dependencies=[limiter.limit("1/minute")])(lambda: "a")
    app.mount("/sub", sub)
    for path in ("/a/", "/b/", "/sub/a/", "/sub/b/"):
        first, second = await ask(app, "GET", f"{path}1"), await ask(app, "GET", f"{path}2")
        assert (first.status, second.status) == (200, 429), path
        assert fields(first) == {}
        assert fields(second) == {
            "ratelimit": '"1-per-minute";r=0;t=60',
            "ratelimit-policy": '"1-per-minute";q=1;w=60',
            "retry-after": "60",
        }
