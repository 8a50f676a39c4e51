from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI, HTTPException

from belvedere.problems.shapes import prefers_problem
from tests.problems.conftest import ID, ask, attached

PROBLEM = {"accept": "application/problem+json"}


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI()

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("hunter2")

    @app.get("/orders/{number}")
    async def order(number: int) -> None:
        raise HTTPException(409, {"order": number})

    return app


NOT_FOUND = {"type": "about:blank", "title": "Not Found", "status": 404, "detail": "Not Found", "request_id": ID}


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("/nowhere", NOT_FOUND),
        (
            "/broken",
            {
                "type": "about:blank",
                "title": "Internal Server Error",
                "status": 500,
                "detail": "An unexpected error occurred",
                "request_id": ID,
            },
        ),
        (
            "/orders/7",
            {
                "type": "about:blank",
                "title": "Conflict",
                "status": 409,
                "detail": "Conflict",
                "request_id": ID,
                "details": {"order": 7},
            },
        ),
        (
            "/orders/x",
            {
                "type": "about:blank",
                "title": "Unprocessable Content",
                "status": 422,
                "detail": "Request validation failed",
                "request_id": ID,
                "errors": [
                    {
                        "loc": ["path", "number"],
                        "msg": "Input should be a valid integer, unable to parse string as an integer",
                        "type": "int_parsing",
                    }
                ],
            },
        ),
    ],
)
async def test_who_accepts_problem_documents_gets_them(app: FastAPI, path: str, document: dict[str, Any]) -> None:
    """A caller that accepts `application/problem+json` gets RFC 9457, and caches are told that it depends."""
    with attached(app):
        response = await ask(app, path, headers=PROBLEM)
    assert (response.status_code, response.json()) == (document["status"], document)
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["vary"] == "Accept"


async def test_the_setting_gives_problem_documents_to_everybody(app: FastAPI) -> None:
    """With `format="problem"` every caller gets them, and the answer depends on no header."""
    with attached(app, problems={"format": "problem"}):
        response = await ask(app, "/nowhere", headers={"accept": "application/json"})
    assert response.json() == NOT_FOUND
    assert response.headers["content-type"] == "application/problem+json"
    assert "vary" not in response.headers


async def test_where_no_handler_answered_the_caller_is_heard_too() -> None:
    """The 500 in place of an application that answered nothing is negotiated as well."""

    async def silent(scope: Any, receive: Any, send: Any) -> None:
        return None

    app = FastAPI()
    app.mount("/", silent)
    with attached(app):
        response = await ask(app, "/", headers=PROBLEM)
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["status"] == 500


@pytest.mark.parametrize(
    ("accept", "problem"),
    [
        ("", False),
        ("*/*", False),
        ("application/*", False),
        ("application/json", False),
        ("application/problem+json", True),
        ("Application/Problem+JSON", True),
        ("application/json, application/problem+json", True),
        ("text/html, application/problem+json;q=0.5, */*;q=0.1", True),
        ("application/problem+json; charset=utf-8; q=0.2", True),
        ("application/problem+json;q=0", False),
        ("application/problem+json;q=0.5, application/json", False),
        ("application/problem+json;q=0.5, application/json; q=0.4", True),
        ("application/problem+json;q=high", False),
        ("application/problem+json;q=nan", False),
        ("application/problem+jsonx, text/application/problem+json", False),
        (",;,;q=1,application/problem+json", True),
    ],
)
def test_what_an_accept_header_asks_for(accept: str, problem: bool) -> None:
    """A problem document is preferred where it is named, not refused, and not ranked below plain JSON."""
    assert prefers_problem(accept) is problem


async def test_several_accept_headers_are_one(app: FastAPI) -> None:
    """A list that is spread over several headers is read as one."""
    from httpx import ASGITransport, AsyncClient

    headers = [("accept", "text/html"), ("accept", "application/problem+json")]
    with attached(app):
        async with AsyncClient(transport=ASGITransport(app), base_url="http://shop.test") as client:
            client.headers.pop("accept")
            response = await client.get("/nowhere", headers=headers)
    assert response.headers["content-type"] == "application/problem+json"
