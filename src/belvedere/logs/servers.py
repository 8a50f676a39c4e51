"""What is known of servers: their loggers, and which exceptions they need not report again."""

from __future__ import annotations

import logging
import traceback
from collections import deque
from functools import lru_cache
from typing import Final

SERVER_LOGGERS: Final = (
    "uvicorn",
    "uvicorn.error",
    "uvicorn.asgi",
    "uvicorn.access",
    "gunicorn",
    "gunicorn.error",
    "gunicorn.access",
    "_granian",
    "granian.access",
    "hypercorn",
    "hypercorn.error",
    "hypercorn.access",
    "watchfiles",
    "watchfiles.main",
)
"""Loggers that bring handlers of their own: uvicorn (and its reloader), gunicorn, granian, hypercorn."""

ACCESS_LOGGERS: Final = frozenset(name for name in SERVER_LOGGERS if name.endswith(".access"))
"""Those that write a line per request."""

_WEBSOCKET_ACCESS: Final = '%s - "WebSocket %s"'
"""How uvicorn's lines about a WebSocket begin before they are filled in: with a query, which may hold a token."""

_TRACEBACK: Final = "Traceback (most recent call last):\n"
_MARK: Final = "__belvedere_reported__"
_FOLLOWED: Final = 32

_unmarkable: deque[BaseException] = deque(maxlen=64)
_texts: deque[str] = deque(maxlen=64)
"""How the last reported exceptions end: granian logs the text of an exception, not the exception; all of them log the
text of what a lifespan raised."""


@lru_cache(maxsize=1024)  # asked for every record of the standard library
def is_server(logger: str) -> bool:
    """Whether a server writes under this name."""
    return logger in _NAMES or logger.startswith(_BELOW)


_NAMES: Final = frozenset(SERVER_LOGGERS)
_BELOW: Final = tuple(f"{name}." for name in SERVER_LOGGERS)


def is_access(record: logging.LogRecord) -> bool:
    """Whether a server's record is a line per request, under whatever name it is written."""
    return record.name in ACCESS_LOGGERS or (isinstance(record.msg, str) and record.msg.startswith(_WEBSOCKET_ACCESS))


def mark_reported(error: BaseException) -> None:
    """Remember that `error` has been logged: the server's own record of it is then dropped."""
    try:
        setattr(error, _MARK, True)
    except Exception:  # an exception may refuse attributes in any way
        _unmarkable.append(error)
    try:
        _texts.append("".join(traceback.format_exception_only(error)).rstrip())
    except Exception:  # and it may have no text
        return


def mark_written(error: BaseException) -> None:
    """Remember that a server's own record of `error` was written: what it prints besides is then dropped."""
    try:
        setattr(error, _MARK, False)
    except Exception:  # an exception may refuse attributes in any way: it is then told of twice
        return


def written(error: BaseException) -> bool:
    """Whether `error` itself has been logged, by a server or by the application's pass."""
    return getattr(error, _MARK, None) is not None or reported(error)


def tells_reported(text: str) -> bool:
    """Whether `text` is a traceback of an exception that has been logged."""
    begins = text.startswith(_TRACEBACK) or f"\n{_TRACEBACK}" in text
    return begins and text.rstrip().endswith(tuple(_texts))


def reported(error: BaseException | None) -> bool:
    """Whether `error` has been logged: itself, all that a group holds, or what it was raised from or during."""
    for _ in range(_FOLLOWED):
        if error is None:
            return False
        if getattr(error, _MARK, False) is True or any(error is other for other in _unmarkable):
            return True
        if isinstance(error, BaseExceptionGroup) and all(reported(inner) for inner in error.exceptions):
            return True
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return False
