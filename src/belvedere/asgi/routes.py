"""Which route took a request, told by the routes themselves as they handle it.

The scope alone does not tell: plain routes leave nothing in it, mounts leave values where names are needed, and a
middleware that copies the scope keeps what is written later from those outside. So `handle` of Starlette's and
FastAPI's routes is wrapped at class level, once per process and counted; each wrap notes the full template in the
`RequestContext` that the scope carries.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Host, Mount, Route, WebSocketRoute

from belvedere import failures
from belvedere.context import SCOPE_KEY, RequestContext

Scope = dict[str, Any]
Handle = Callable[..., Awaitable[None]]

_MOUNT = "belvedere.mount"
"""Where a mount leaves its template for the routes below; copies of the scope carry it downwards, and only there."""

_users = 0
_originals: list[tuple[type[BaseRoute], Handle]] = []


def _note_route(route: Any, scope: Scope) -> None:
    request: RequestContext | None = scope.get(SCOPE_KEY)
    if request is None:
        return
    taken = route
    own = scope.get("fastapi")
    if own is not None:
        # From FastAPI 0.137 on, a route below an included router knows its full path only here.
        effective = own.get("effective_route_context")
        if effective is not None and effective.original_route is route:
            taken = effective
    request.route = taken
    request.route_scope = scope
    try:
        template = taken.path_format
    except AttributeError:
        # Somebody's own kind of route may have a path and no format.
        template = str(getattr(taken, "path", ""))
    mount = scope.get(_MOUNT)
    request.endpoint = mount + template if mount else template
    on_route = request.plan.on_route
    if on_route is not None:
        on_route(request, scope)


def _note_mount(mount: Any, scope: Scope) -> None:
    request: RequestContext | None = scope.get(SCOPE_KEY)
    if request is None:
        return
    path = scope[_MOUNT] = scope.get(_MOUNT, "") + mount.path_format.removesuffix("/{path}")
    request.route = None
    request.endpoint = path + "/{path}"
    if request.plan.on_mount is not None:
        request.plan.on_mount(mount.app)


def _note_host(host: Any, scope: Scope) -> None:
    request: RequestContext | None = scope.get(SCOPE_KEY)
    if request is not None and request.plan.on_mount is not None:
        request.plan.on_mount(host.app)


def _noting(note: Callable[[Any, Scope], None], original: Handle) -> Handle:
    def handle(self: Any, scope: Scope, receive: Any, send: Any) -> Awaitable[None]:
        try:
            note(self, scope)
        except Exception as error:
            failures.contain("requests", error)
        return original(self, scope, receive, send)

    return handle


def hook() -> None:
    """Have routes note themselves, until as many calls of `unhook` came."""
    global _users
    _users += 1
    if _users > 1:
        return
    for kind, note in (
        (Mount, _note_mount),
        (Host, _note_host),
        (Route, _note_route),
        (WebSocketRoute, _note_route),
        (APIRoute, _note_route),
    ):
        if "handle" in kind.__dict__:
            original = kind.__dict__["handle"]
            _originals.append((kind, original))
            setattr(kind, "handle", _noting(note, original))  # noqa: B010 - a method, to a type checker, cannot be set


def unhook() -> None:
    """Give one `hook` back; the last one leaves the classes as they were."""
    global _users
    _users -= 1
    if _users == 0:
        while _originals:
            kind, original = _originals.pop()
            setattr(kind, "handle", original)  # noqa: B010 - as above


def templates(app: Any) -> Iterator[tuple[str, frozenset[str], Any]]:
    """Yield template, methods and route of every route of `app`, over included routers and mounts."""
    yield from _templates(app.routes, "")


def _templates(routes: Any, prefix: str) -> Iterator[tuple[str, frozenset[str], Any]]:
    for route in _effective(routes):
        path = getattr(route, "path_format", None)
        if path is None:
            # A Host route, or somebody's own kind.
            yield from _templates(getattr(route, "routes", None) or (), prefix)
        elif isinstance(getattr(route, "original_route", route), Mount):
            inner = getattr(route, "routes", None)
            if inner:
                yield from _templates(inner, prefix + path.removesuffix("/{path}"))
            else:
                yield prefix + path, frozenset(), route
        else:
            yield prefix + path, frozenset(getattr(route, "methods", None) or ()), route


def _effective(routes: Any) -> Any:
    try:
        from fastapi.routing import iter_route_contexts
    except ImportError:
        return routes
    return iter_route_contexts(routes)
