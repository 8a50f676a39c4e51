"""Which message completes an answer: what closers have to know before it is handed to the server.

Observers hear of a request when its last byte has been handed over. Whoever promises that nothing which was answered is
forgotten comes earlier: a process that is killed right after the answer has kept that promise already.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from belvedere.asgi.plan import Message

_EMPTY: Final = (b"content-length", b"0")
_UNKNOWN: Final = -1


class Answered(Protocol):
    """What of an exchange is asked and noted here."""

    method: str
    answered: bool
    trailers: bool
    awaited: Message | int


def completes(request: Answered, message: Message) -> bool:
    """Whether a client waits for nothing after a message that is not the last.

    So it is with the headers of an answer without a body, and at the end of `Content-Length` where more messages follow
    (a `BaseHTTPMiddleware` sends an empty one).
    """
    kind = message["type"]
    if kind == "http.response.start":
        request.awaited = message
        # Answers that end with their headers (RFC 9110, section 6.4.1).
        if request.method == "HEAD" or message["status"] in {204, 304}:
            return True
        headers: list[tuple[bytes, bytes]] = message["headers"]
        # Where Starlette puts it: comparing all of them costs more. There is one at least, the request's id.
        name, value = headers[0]
        return value == b"0" if name == b"content-length" else _EMPTY in headers
    if kind != "http.response.body":
        return not message.get("more_trailers" if kind == "http.response.trailers" else "more_body", True)
    if request.trailers or not request.answered:
        return False
    awaited = request.awaited
    left = awaited if type(awaited) is int else _length(awaited)
    if left != _UNKNOWN:
        left = max(0, left - len(message.get("body", b"")))
    request.awaited = left
    return left == 0


def _length(start: Any) -> int:
    """Return the `Content-Length` of an answer; `_UNKNOWN` where it has none, or not one."""
    found = [value for name, value in start["headers"] if name.lower() == b"content-length"]
    return int(found[0]) if len(found) == 1 and found[0].isdigit() and len(found[0]) < 19 else _UNKNOWN
