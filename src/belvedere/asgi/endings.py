"""What an exception says about how a request ended."""

from __future__ import annotations

from asyncio import CancelledError

from starlette.requests import ClientDisconnect
from starlette.websockets import WebSocketDisconnect

from belvedere.context import RequestContext

_LEFT = (ClientDisconnect, WebSocketDisconnect)
"""How Starlette tells an application that its client has gone; servers raise an `OSError` in `send` (ASGI 2.4)."""
_MARK = "__belvedere_left__"


def mark_left(error: OSError) -> None:
    """Remember that the server raised `error` because nobody listens: the application has others of that type."""
    try:
        setattr(error, _MARK, True)
    except Exception:  # an exception may refuse attributes in any way
        return


def has_left(request: RequestContext, error: BaseException) -> bool:
    """Whether `error` says only that the client has gone, which is nobody's mistake."""
    if not request.disconnected:
        return False
    cause = only_one(error)
    return isinstance(cause, _LEFT) or (isinstance(cause, OSError) and getattr(cause, _MARK, False) is True)


def is_cancelled(error: BaseException) -> bool:
    """Whether `error` says only that a call is to end, as servers and task groups cancel it.

    What else is no `Exception` is raised by the application, as `SystemExit` by `sys.exit()`: servers answer it with
    500 as any other.
    """
    cause = only_one(error)
    if isinstance(cause, BaseExceptionGroup):
        return all(is_cancelled(one) for one in cause.exceptions)
    return isinstance(cause, (CancelledError, GeneratorExit))


def only_one(error: BaseException) -> BaseException:
    """Return the exception inside groups of one, into which task groups of middlewares and older Starlettes put it."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
