"""Routing and cardinality: the endpoint of a request is the full template of its route, whatever lies between."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fastapi
import pytest
from fastapi import APIRouter, FastAPI, Request
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Host, Mount, Route, Router
from starlette.staticfiles import StaticFiles

from tests.drive import ask, requests
from tests.edge_cases.conftest import Lines, Observe

INCLUDED_MOUNTS = tuple(int(part) for part in fastapi.__version__.split(".")[:2]) >= (0, 137)
"""Whether FastAPI serves a mount that lies in an included router; older ones answer 404."""


async def page(request: Request) -> PlainTextResponse:
    return PlainTextResponse("page")


async def item(item_id: str) -> str:
    return item_id


def below(path: str, routes: Sequence[Any] | None = None) -> Starlette:
    """Return an application with one plain route."""
    return Starlette(routes=routes or [Route(path, page)])


async def endpoint(app: Any, path: str, *, method: str = "GET", status: int = 200, **options: Any) -> str:
    """Ask once; return the endpoint that the one new sample names, and check its method and status."""
    before = await requests(app)
    answer = await ask(app, method, path, **options)
    after = await requests(app)
    assert answer.status == status, (answer.status, answer.body)
    ((key, _),) = {key: value for key, value in after.items() if value != before.get(key)}.items()
    assert key[0] == method
    assert key[2] == str(status)
    return key[1]


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


async def test_a_direct_route_in_a_mounted_app(observe: Observe) -> None:
    """A route of a mounted FastAPI application has the mount's path before its own."""
    sub = FastAPI()
    sub.get("/items/{item_id}")(item)
    app = FastAPI()
    app.mount("/sub", sub)
    observe(app)
    assert await endpoint(app, "/sub/items/7") == "/sub/items/{item_id}"


async def test_a_parameterised_mount_shows_names_not_values(observe: Observe) -> None:
    """`/tenants/{tenant}` mounted is one endpoint, not one per tenant."""
    sub = FastAPI()
    sub.get("/items/{item_id}")(item)
    app = FastAPI()
    app.mount("/tenants/{tenant}", sub)
    observe(app)
    for tenant in ("a", "b"):
        assert await endpoint(app, f"/tenants/{tenant}/items/7") == "/tenants/{tenant}/items/{item_id}"


async def test_an_included_router_in_a_mounted_app(observe: Observe) -> None:
    """Include inside mount: mount, prefix and path."""
    router = APIRouter(prefix="/inner")
    router.get("/{item_id}")(item)
    sub = FastAPI()
    sub.include_router(router, prefix="/v1")
    app = FastAPI()
    app.mount("/sub", sub)
    observe(app)
    assert await endpoint(app, "/sub/v1/inner/7") == "/sub/v1/inner/{item_id}"


@pytest.mark.skipif(not INCLUDED_MOUNTS, reason="FastAPI before 0.137 does not serve mounts of an included router")
async def test_a_mount_in_an_included_router(observe: Observe) -> None:
    """Mount inside include: prefix, mount and path."""
    sub = FastAPI()
    sub.get("/items/{item_id}")(item)
    router = APIRouter()
    router.mount("/sub/{tenant}", sub)
    app = FastAPI()
    app.include_router(router, prefix="/v1")
    observe(app)
    assert await endpoint(app, "/v1/sub/x/items/7") == "/v1/sub/{tenant}/items/{item_id}"


async def test_mounts_within_mounts(observe: Observe) -> None:
    """Each mount on the way adds its path, a plain `Mount` of routes included."""
    leaf = FastAPI()
    leaf.get("/items/{item_id}")(item)
    middle = Starlette(routes=[Mount("/b/{b}", routes=[Mount("/c", app=leaf)])])
    app = FastAPI()
    app.mount("/a", middle)
    observe(app)
    assert await endpoint(app, "/a/b/1/c/items/7") == "/a/b/{b}/c/items/{item_id}"


async def test_a_path_that_only_the_mount_takes(observe: Observe) -> None:
    """What a mounted application has no route for is the mount's path and `/{path}`: one series per mount."""
    sub = FastAPI()
    app = FastAPI()
    app.mount("/sub", sub)
    observe(app)
    for path in ("/sub/nothing", "/sub/nothing/more"):
        assert await endpoint(app, path, status=404) == "/sub/{path}"


async def test_static_files_are_one_endpoint(observe: Observe, tmp_path: Path) -> None:
    """Files below a mount of `StaticFiles` share one endpoint, found or not."""
    (tmp_path / "a.txt").write_text("a")
    app = FastAPI()
    app.mount("/static", StaticFiles(directory=tmp_path))
    observe(app)
    assert await endpoint(app, "/static/a.txt") == "/static/{path}"
    assert await endpoint(app, "/static/b.txt", status=404) == "/static/{path}"


async def test_a_host_route_leaves_the_template_as_it_is(observe: Observe) -> None:
    """Routing by host adds nothing: a host is no part of a template."""
    app = Starlette(routes=[Host("{name}.shop.test", app=Router([Route("/page/{n}", page)])), Route("/page/{m}", page)])
    observe(app)
    assert await endpoint(app, "/page/1", headers=[(b"host", b"eu.shop.test")]) == "/page/{n}"
    assert await endpoint(app, "/page/1", headers=[(b"host", b"else.test")]) == "/page/{m}"


async def test_root_path_is_no_part_of_the_endpoint(observe: Observe) -> None:
    """The application's `root_path`, and a server's that keeps it in the path, stay out of the template."""
    app = FastAPI()
    app.root_path = "/behind"
    app.get("/items/{item_id}")(item)
    sub = FastAPI()
    sub.get("/items/{item_id}")(item)
    app.mount("/sub", sub)
    observe(app)
    assert await endpoint(app, "/items/7") == "/items/{item_id}"
    assert await endpoint(app, "/behind/items/7", root_path="/behind") == "/items/{item_id}"
    assert await endpoint(app, "/behind/sub/items/7", root_path="/behind") == "/sub/items/{item_id}"


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
    app = below("/page")
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


async def test_a_middleware_that_copies_the_scope_hides_nothing(observe: Observe) -> None:
    """The template is found behind middlewares that pass on a copy of the scope, in outer and mounted applications."""

    class Copies:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await self.app(dict(scope), receive, send)

    sub = FastAPI()
    sub.add_middleware(Copies)
    sub.get("/items/{item_id}")(item)
    app = FastAPI()
    app.add_middleware(Copies)
    app.get("/items/{item_id}")(item)
    app.mount("/sub", sub)
    observe(app)
    assert await endpoint(app, "/items/7") == "/items/{item_id}"
    assert await endpoint(app, "/sub/items/7") == "/sub/items/{item_id}"


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


async def test_an_application_that_answers_by_itself_below_a_mount(observe: Observe) -> None:
    """A mounted ASGI callable without routes is the mount's path and `/{path}`."""
    app = FastAPI()
    app.mount("/raw", Response("raw"))
    observe(app)
    assert await endpoint(app, "/raw/anything") == "/raw/{path}"


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
