"""What an exception says about how a request ended."""

from __future__ import annotations

from starlette.requests import ClientDisconnect
from starlette.websockets import WebSocketDisconnect

from belvedere.context import RequestContext

_LEFT = (OSError, ClientDisconnect, WebSocketDisconnect)
"""How servers and Starlette tell an application that its client has gone."""


def has_left(request: RequestContext, error: BaseException) -> bool:
    """Whether `error` says only that the client has gone, which is nobody's mistake."""
    return request.disconnected and isinstance(only_one(error), _LEFT)


def only_one(error: BaseException) -> BaseException:
    """Return the exception inside groups of one, into which task groups of middlewares and older Starlettes put it."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
