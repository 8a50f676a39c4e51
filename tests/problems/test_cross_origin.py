"""Browsers: a page of another origin can read the 500 of an exception that nobody caught."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from tests.problems.conftest import INTERNAL, ask, attached

SHOP = "https://shop.example"
FROM_SHOP = {"Origin": SHOP}


def failing(**cors: Any) -> FastAPI:
    """Return an application whose route raises, with a CORS middleware if there are options for one."""
    app = FastAPI()
    if cors:
        app.add_middleware(CORSMiddleware, **cors)

    @app.get("/fails")
    def fails() -> None:
        raise RuntimeError("hidden")

    return app


async def test_an_origin_that_is_allowed() -> None:
    """It is told so, as in every other answer, and which headers its scripts see."""
    with attached(app := failing(allow_origins=[SHOP], allow_credentials=True, expose_headers=["X-Request-ID"])):
        answer = await ask(app, "/fails", headers=FROM_SHOP)
        missing = await ask(app, "/nowhere", headers=FROM_SHOP)
    assert (answer.status_code, answer.json()) == (500, INTERNAL)
    told = {name: value for name, value in answer.headers.items() if name.startswith("access-control")}
    assert told == {
        "access-control-allow-origin": SHOP,
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": "X-Request-ID",
    }
    assert told == {name: value for name, value in missing.headers.items() if name.startswith("access-control")}
    assert answer.headers["vary"] == missing.headers["vary"] == "Accept, Origin"


async def test_every_origin() -> None:
    """Where every origin may read, so may it here."""
    with attached(app := failing(allow_origins=["*"])):
        assert (await ask(app, "/fails", headers=FROM_SHOP)).headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("cors", "headers"),
    [
        ({"allow_origins": ["https://other.example"]}, FROM_SHOP),
        ({"allow_origins": [SHOP]}, {}),
        ({}, FROM_SHOP),
    ],
    ids=["another origin", "no origin", "no middleware"],
)
async def test_nobody_else(cors: dict[str, Any], headers: dict[str, str]) -> None:
    """Another origin, a caller that is no page of one, an application that allows none: no origin is allowed."""
    with attached(app := failing(**cors)):
        answer = await ask(app, "/fails", headers=headers)
    assert (answer.status_code, answer.json()) == (500, INTERNAL)
    assert "access-control-allow-origin" not in answer.headers


async def test_a_mounted_application() -> None:
    """The failure of a mounted application is told as the mounted application allows."""
    app = FastAPI()
    app.mount("/inner", failing(allow_origins=[SHOP]))
    with attached(app):
        answer = await ask(app, "/inner/fails", headers=FROM_SHOP)
    assert (answer.status_code, answer.json()) == (500, INTERNAL)
    assert answer.headers["access-control-allow-origin"] == SHOP


async def test_a_preflight_that_fails() -> None:
    """What fails before the middleware of CORS is asked is a failure, and no leave to come in."""

    class Failing:
        def __init__(self, app: Any) -> None:
            pass

        async def __call__(self, *_: Any) -> None:
            raise RuntimeError("hidden")

    app = failing(allow_origins=[SHOP])
    app.add_middleware(Failing)
    with attached(app):
        answer = await ask(app, "/fails", "OPTIONS", headers={**FROM_SHOP, "Access-Control-Request-Method": "GET"})
        assert answer.status_code == 500
        assert "access-control-allow-origin" not in answer.headers
        assert (await ask(app, "/fails", headers=FROM_SHOP)).headers["access-control-allow-origin"] == SHOP


async def test_an_application_that_answers_nothing() -> None:
    """The 500 in place of an answer that never came, as well."""

    class Silent:
        def __init__(self, app: Any) -> None:
            pass

        async def __call__(self, *_: Any) -> None:
            pass

    app = FastAPI()
    app.add_middleware(Silent)
    app.add_middleware(CORSMiddleware, allow_origins=[SHOP])
    with attached(app):
        answer = await ask(app, "/fails", headers=FROM_SHOP)
    assert (answer.status_code, answer.json()) == (500, INTERNAL)
    assert answer.headers["access-control-allow-origin"] == SHOP


async def test_a_handler_of_the_applications_own() -> None:
    """Its answer stays as it is."""
    from starlette.responses import PlainTextResponse

    app = failing(allow_origins=[SHOP])
    app.add_exception_handler(Exception, lambda _request, _error: PlainTextResponse("mine", 500))
    with attached(app):
        answer = await ask(app, "/fails", headers=FROM_SHOP)
    assert answer.text == "mine"
    assert "access-control-allow-origin" not in answer.headers
