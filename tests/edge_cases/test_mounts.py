"""Routing and cardinality: mounts, hosts, root paths and copies of the scope lie between, and change no template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fastapi
import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Host, Mount, Route, Router
from starlette.staticfiles import StaticFiles

from tests.edge_cases.conftest import Observe
from tests.edge_cases.routes import endpoint, item, page

INCLUDED_MOUNTS = tuple(int(part) for part in fastapi.__version__.split(".")[:2]) >= (0, 137)
"""Whether FastAPI serves a mount that lies in an included router; older ones answer 404."""


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


async def test_a_second_dispatch_begins_anew(observe: Observe) -> None:
    """A middleware that asks its application again after a 404 leaves the template of the second attempt alone."""
    sub = FastAPI()
    sub.get("/items/{item_id}")(item)
    app = FastAPI()
    app.mount("/sub", sub)

    class Fallback:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            async def nowhere(message: Any) -> None: ...

            await self.app(dict(scope), receive, nowhere)
            await self.app({**scope, "path": "/sub/items/7"}, receive, send)

    app.add_middleware(Fallback)
    observe(app)
    assert await endpoint(app, "/sub/nothing") == "/sub/items/{item_id}"


async def test_an_application_that_answers_by_itself_below_a_mount(observe: Observe) -> None:
    """A mounted ASGI callable without routes is the mount's path and `/{path}`."""
    app = FastAPI()
    app.mount("/raw", Response("raw"))
    observe(app)
    assert await endpoint(app, "/raw/anything") == "/raw/{path}"
