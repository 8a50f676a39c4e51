"""What the pass of one application works after: computed once, read by every request."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from belvedere.asgi.client import Network
from belvedere.context import RequestContext
from belvedere.parts import Closer, Observer

Message = dict[str, Any]
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
HeaderList = list[tuple[bytes, bytes]]


class Plan:
    """The decisions that all requests of an application share.

    `served` maps a path to what answers there in place of the application. `answer_failure` sends the 500 where the
    application left none. `failed` is told of each exception that is raised on. `on_route` and `on_mount` are told of
    the route and the application that took a request, `on_build` that the middleware is being put together. `closers`
    are told of each HTTP request before its answer is complete. `hide` returns what of a value may leave the process
    under a key. `exchanges` are the kinds for HTTP and for WebSockets, where a feature needs its own.

    Args:
        header: the request id's, in any case.
        clock: seconds of a monotonic clock.
    """

    __slots__ = (
        "active",
        "answer_failure",
        "beginners",
        "binder",
        "clock",
        "closers",
        "exchanges",
        "excluded",
        "excluded_prefixes",
        "failed",
        "header",
        "headers",
        "hex",
        "hide",
        "lifespan",
        "observers",
        "on_build",
        "on_mount",
        "on_route",
        "own_names",
        "secure_headers",
        "served",
        "service",
        "spelled",
        "trust",
        "trusted_proxies",
    )

    def __init__(self, header: str = "X-Request-ID", clock: Callable[[], float] = time.perf_counter) -> None:
        self.active = True
        self.clock = clock
        self.header = header.lower().encode("ascii")
        self.spelled = header.encode("ascii")
        self.hex = False
        self.hide: Callable[[str, Any], Any] = lambda key, value: value
        self.trust = True
        self.trusted_proxies: Sequence[Network] = ()
        self.service: Mapping[str, str] = {}
        self.observers: tuple[Observer, ...] = ()
        self.beginners: tuple[Observer, ...] = ()
        self.closers: tuple[Closer, ...] = ()
        self.served: dict[str, ASGIApp] = {}
        self.excluded: frozenset[str] = frozenset()
        self.excluded_prefixes: tuple[str, ...] = ()
        self.binder: Callable[[RequestContext], None] | None = None
        self.on_route: Callable[[RequestContext, Scope], None] | None = None
        self.on_mount: Callable[[Any], None] | None = None
        self.on_build: Callable[[], None] | None = None
        self.answer_failure: Callable[[RequestContext, Send], Awaitable[None]] | None = None
        self.failed: Callable[[RequestContext, BaseException], None] | None = None
        self.lifespan: Callable[[ASGIApp, Scope, Receive, Send], Awaitable[None]] | None = None
        self.exchanges: tuple[type[Any], type[Any]] | None = None
        self.set_headers([], [])

    def observe(self, observers: Sequence[Observer]) -> None:
        """Have `observers` watch requests, in this order."""
        self.observers = tuple(observers)
        self.beginners = tuple(observer for observer in observers if not getattr(observer.begin, "idle", False))

    def leaves_out(self, scope: Scope) -> bool:
        """Whether a path is kept out of logs, traces and metrics."""
        path = below_root(scope)
        return path in self.excluded or path.startswith(self.excluded_prefixes)

    def set_headers(self, plain: HeaderList, secure: HeaderList) -> None:
        """Have every response carry `plain`, and over TLS `secure` instead; the application's own win."""
        self.headers = plain
        self.secure_headers = secure
        own = {name for name, _ in [*plain, *secure, (self.header, b"")]}
        # ASGI says lower case; a hand-written application may not.
        self.own_names = frozenset(
            own | {self.spelled} | {name.title() for name in own} | {name.upper() for name in own}
        )


def exact_and_beginnings(paths: Iterable[str]) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return the paths that are meant as they are, and the beginnings of those that end in `*`."""
    paths = tuple(paths)
    return (
        frozenset(path for path in paths if not path.endswith("*")),
        tuple(path[:-1] for path in paths if path.endswith("*")),
    )


def idle(begin: Callable[..., None]) -> Callable[..., None]:
    """Mark a `begin` that does nothing, so that the pass need not call it."""
    begin.idle = True  # type: ignore[attr-defined]
    return begin


def below_root(scope: Scope) -> str:
    """Return the path below `root_path`: servers that strip it and servers that keep it look alike."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if root and path.startswith(root) and path[len(root) : len(root) + 1] in {"", "/"}:
        return path[len(root) :] or "/"
    return path
