"""Which exception no handler of the application took, known before the answer to it is sent.

Starlette's error middleware answers first and raises on afterwards, so that the pass would hear of the exception when
the last byte has gone. It asks its handler for the answer, though, and its debug page: these note what they are asked
about. A layer of our own inside it would do as well, and would be entered by every request that goes well.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import Request

from belvedere.asgi.endings import has_left, only_one
from belvedere.context import SCOPE_KEY, RequestContext

Handler = Callable[..., Any]


def record(errors: ServerErrorMiddleware, handler: Handler | None) -> Callable[[], None]:
    """Have an error middleware note each exception on its request before `handler` answers it; return what undoes it.

    Args:
        errors: the middleware, which is used as it is where `handler` is `None`.
        handler: sync or async, as Starlette takes them.
    """
    before = errors.handler
    debug_page = errors.debug_response
    answer = _asynchronous(handler or errors.error_response)

    async def noting(request: Request, error: Exception) -> Any:
        _note(request, error)
        return await answer(request, error)

    def noting_page(request: Request, error: Exception) -> Any:
        _note(request, error)
        return debug_page(request, error)

    errors.handler = noting
    setattr(errors, "debug_response", noting_page)  # noqa: B010 - a method, to a type checker, cannot be set

    def undo() -> None:
        errors.handler = before
        del errors.debug_response

    return undo


def is_recorded(errors: ServerErrorMiddleware) -> bool:
    """Whether `record` was called for it already."""
    return "debug_response" in errors.__dict__


def _note(request: Request, error: Exception) -> None:
    context: RequestContext | None = request.scope.get(SCOPE_KEY)
    if context is not None and not has_left(context, error):
        context.exception = only_one(error)


def _asynchronous(handler: Handler) -> Callable[[Request, Exception], Awaitable[Any]]:
    called = handler if inspect.isroutine(handler) else getattr(handler, "__call__", handler)  # noqa: B004 - its own method
    if inspect.iscoroutinefunction(called) or inspect.iscoroutinefunction(getattr(handler, "func", None)):
        return handler

    async def in_thread(request: Request, error: Exception) -> Any:
        return await run_in_threadpool(handler, request, error)

    return in_thread
