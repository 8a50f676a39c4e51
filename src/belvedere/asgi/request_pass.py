"""The one ASGI pass: each request crosses Belvedere here, once.

It sits outside every middleware of the application and owns the id, the context and the outcome. A feature is an
observer that it calls; no feature wraps the application again. Everything on this page runs per request: what could
be computed before is in the `Plan`.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final

from belvedere.asgi.endings import has_left, is_cancelled, only_one
from belvedere.asgi.exchange import HttpExchange, WebSocketExchange
from belvedere.asgi.plan import ASGIApp, Plan, Receive, Scope, Send, below_root
from belvedere.context import SCOPE_KEY, current, give_back
from belvedere.conventions import CLIENT_CLOSED_REQUEST

_new: Final = object.__new__


class RequestPass:
    """Pure ASGI, outermost. The application it wraps is in `app`, where FastAPI and others look for it."""

    def __init__(self, app: ASGIApp, plan: Plan) -> None:
        self.app = app
        self.plan = plan
        kinds: tuple[type[HttpExchange], type[WebSocketExchange]]
        kinds = plan.exchanges or (HttpExchange, WebSocketExchange)
        self.http, self.websocket = kinds

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        # Not a coroutine itself: one frame less to enter for each request.
        kind = scope["type"]
        plan = self.plan
        if not plan.active or SCOPE_KEY in scope:
            return self.app(scope, receive, send)
        if kind == "http":
            return self._http(scope, receive, send)
        if kind == "websocket":
            return self._websocket(scope, receive, send)
        if kind == "lifespan" and plan.lifespan is not None:
            return plan.lifespan(self.app, scope, receive, send)
        return self.app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: C901 - a call more costs each request
        plan = self.plan
        app = self.app
        # What `self.http(…)` does, without entering the interpreter once more for it.
        request = _new(self.http)
        request.__init__(plan, scope, receive, send)  # type: ignore[misc]
        length = request.headers.get(b"content-length")
        if length is not None:
            request.length = length
            # More digits than any body has are nonsense, which `int` would refuse.
            request.request_bytes = int(length) if length.isdigit() and len(length) < 19 else 0
        path = below_root(scope) if scope.get("root_path") else request.path
        if path in plan.served and request.method in {"GET", "HEAD"}:
            app = plan.served[path]
            request.endpoint = path
        if path in plan.excluded or (plan.excluded_prefixes and path.startswith(plan.excluded_prefixes)):
            request.excluded = True
        token = current.set(request)
        if plan.beginners:
            request.begin()
        try:
            await app(scope, request.receive, request.send)
            if not request.answered and not request.disconnected:
                await request.answer_failure()
        except BaseException as error:
            if not is_cancelled(error):
                if request.exception is None and not request.ended and not has_left(request, error):
                    request.exception = only_one(error)
                if plan.failed is not None:
                    plan.failed(request, error)
                if not request.answered and not request.disconnected:
                    await request.answer_failure()
            elif not request.answered:
                # Cancelled: whoever asked gets no answer.
                request.disconnected = True
            raise
        finally:
            if not request.ended:
                if request.disconnected and not request.answered:
                    request.status = CLIENT_CLOSED_REQUEST
                if request.unclosed:
                    request.close()
                request.finish()
            request.let_go()
            try:  # `give_back`, written out: one call less for each request
                current.reset(token)
            except ValueError:
                pass

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        plan = self.plan
        request = self.websocket(plan, scope, receive, send)
        request.websocket = True
        request.excluded = plan.leaves_out(scope)
        token = current.set(request)
        try:
            await self.app(scope, request.receive, request.send)
        except BaseException as error:
            if not is_cancelled(error):
                if not has_left(request, error):
                    request.exception = only_one(error)
                if plan.failed is not None:
                    plan.failed(request, error)
            raise
        finally:
            if not request.answered:
                request.status = 500 if request.exception else CLIENT_CLOSED_REQUEST
            request.finish()
            request.let_go()
            give_back(current, token)
