"""Routing and cardinality: the endpoint of a request is the full template of its route."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from tests.drive import ask, requests
from tests.edge_cases.conftest import Lines, Observe
from tests.edge_cases.routes import endpoint, item, page


async def test_an_included_router_below_another_has_the_prefixes_of_both(observe: Observe) -> None:
    """Nested `include_router` with prefixes: the template has every prefix and the parameter's name."""
    inner = APIRouter(prefix="/inner")
    inner.get("/{item_id}")(item)
    outer = APIRouter(prefix="/outer")
    outer.include_router(inner, prefix="/deep")
    app = FastAPI()
    app.include_router(outer, prefix="/v1")
    observe(app)
    assert await endpoint(app, "/v1/outer/deep/inner/7") == "/v1/outer/deep/inner/{item_id}"


async def test_one_router_included_twice_keeps_its_prefixes_apart(observe: Observe) -> None:
    """The same route under two prefixes is two endpoints."""
    router = APIRouter()
    router.get("/items/{item_id}")(item)
    app = FastAPI()
    app.include_router(router, prefix="/v1")
    app.include_router(router, prefix="/v2")
    observe(app)
    assert [await endpoint(app, f"/{v}/items/7") for v in ("v2", "v1")] == [
        "/v2/items/{item_id}",
        "/v1/items/{item_id}",
    ]


async def test_converters_are_left_out_of_the_template(observe: Observe) -> None:
    """`{n:int}` and `{rest:path}` read `{n}` and `{rest}`, as in OpenTelemetry's `http.route`."""
    app = FastAPI()
    app.get("/n/{n:int}/{rest:path}")(lambda n, rest: "ok")
    app.add_route("/plain/{n:int}", page)
    observe(app)
    assert await endpoint(app, "/n/1/a/b/c") == "/n/{n}/{rest}"
    assert await endpoint(app, "/plain/1") == "/plain/{n}"


async def test_plain_routes_of_an_included_router_have_their_prefix(observe: Observe) -> None:
    """A Starlette route on an included router is told by its full template."""
    router = APIRouter()
    router.add_route("/plain/{name}", page)
    app = FastAPI()
    app.include_router(router, prefix="/v1")
    observe(app)
    assert await endpoint(app, "/v1/plain/x") == "/v1/plain/{name}"


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/redoc"])
async def test_the_frameworks_own_pages_are_endpoints(observe: Observe, path: str) -> None:
    """Documentation and schema are counted under their paths."""
    app = FastAPI()
    observe(app)
    assert await endpoint(app, path) == path


async def test_a_slash_redirect_is_unmatched(observe: Observe) -> None:
    """A redirect to the path with a slash is answered by no route."""
    app = FastAPI()
    app.get("/items/")(lambda: "items")
    observe(app)
    assert await endpoint(app, "/items", status=307) == "unmatched"


@pytest.mark.parametrize(("method", "status"), [("HEAD", 405), ("OPTIONS", 405), ("POST", 405), ("GET", 200)])
async def test_other_methods_of_a_get_route_keep_its_endpoint(observe: Observe, method: str, status: int) -> None:
    """HEAD, OPTIONS and a 405 belong to the route whose path it is."""
    app = FastAPI()
    app.get("/items/{item_id}")(item)
    observe(app)
    assert await endpoint(app, "/items/7", method=method, status=status) == "/items/{item_id}"


async def test_head_on_a_plain_route_is_answered_and_counted(observe: Observe) -> None:
    """Starlette's routes answer HEAD, which is a method of its own in the metrics."""
    app = Starlette(routes=[Route("/page", page)])
    observe(app)
    assert await endpoint(app, "/page", method="HEAD") == "/page"


async def test_a_422_keeps_its_endpoint(observe: Observe) -> None:
    """A request whose parameters are wrong is counted under the route that refused it."""
    app = FastAPI()

    @app.get("/items/{item_id}")
    async def number(item_id: int) -> int:
        return item_id

    observe(app)
    assert await endpoint(app, "/items/seven", status=422) == "/items/{item_id}"


async def test_a_route_added_after_the_first_request(observe: Observe) -> None:
    """Routes and mounts that come while the application serves are told like the others."""
    app = FastAPI()
    observe(app)
    assert await endpoint(app, "/late/7", status=404) == "unmatched"
    app.get("/late/{item_id}")(item)
    sub = FastAPI()
    sub.get("/items/{item_id}")(item)
    app.mount("/sub", sub)
    assert await endpoint(app, "/late/7") == "/late/{item_id}"
    assert await endpoint(app, "/sub/items/7") == "/sub/items/{item_id}"


async def test_plain_starlette(observe: Observe) -> None:
    """A Starlette application is observed like FastAPI: routes, mounts, what no route took."""
    app = Starlette(routes=[Route("/page/{n:int}", page), Mount("/sub/{tenant}", routes=[Route("/page", page)])])
    observe(app)
    assert await endpoint(app, "/page/1") == "/page/{n}"
    assert await endpoint(app, "/sub/x/page") == "/sub/{tenant}/page"
    assert await endpoint(app, "/nothing", status=404) == "unmatched"


async def test_somebodys_own_kind_of_route(observe: Observe) -> None:
    """A subclass of `Route` that has a `handle` of its own is told by its template."""

    class Own(Route):
        async def handle(self, scope: Any, receive: Any, send: Any) -> None:
            await super().handle(scope, receive, send)

    app = Starlette(routes=[Own("/own/{n}", page)])
    observe(app)
    assert await endpoint(app, "/own/1") == "/own/{n}"


async def test_a_flood_of_404s_is_one_series(observe: Observe) -> None:
    """However many paths nobody serves are asked for, they are one series."""
    app = FastAPI()
    observe(app)
    for number in range(200):
        await ask(app, "GET", f"/nothing/{number}")
    assert await requests(app) == {("GET", "unmatched", "404"): 200.0}


async def test_unknown_methods_are_one_series(observe: Observe) -> None:
    """However many methods are made up, they count as `_OTHER`; so does one that only differs in case."""
    app = FastAPI()
    observe(app)
    for number in range(200):
        await ask(app, f"METHOD{number}", "/nothing")
    await ask(app, "get", "/nothing")
    assert await requests(app) == {("_OTHER", "unmatched", "404"): 201.0}


async def test_the_access_line_names_the_same_endpoint(observe: Observe, lines: Lines) -> None:
    """The access line shows the path as it was asked for, without its query, and the template beside it."""
    router = APIRouter()
    router.get("/items/{item_id}")(item)
    app = FastAPI()
    app.include_router(router, prefix="/v1")
    observe(app)
    answer = await ask(app, "GET", "/v1/items/7", query=b"q=1")
    assert lines() == [
        {
            "level": "info",
            "logger": "belvedere.access",
            "event": "request_processed",
            "service": "shop",
            "environment": "local",
            "request_id": answer.id,
            "trace_id": answer.id.replace("-", ""),
            "method": "GET",
            "path": "/v1/items/7",
            "endpoint": "/v1/items/{item_id}",
            "status": 200,
            "response_bytes": 3,
            "client": "127.0.0.1",
        }
    ]
