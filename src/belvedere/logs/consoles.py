"""Which handlers write to this process's console, by themselves or by others that they hand their records to."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator
from logging.handlers import MemoryHandler, QueueHandler, QueueListener
from typing import Any, Final

from belvedere.logs.stderr import StandardError

Holder = MemoryHandler | QueueListener
"""What has handlers of its own, behind one that a logger has."""

_FILES: Final = frozenset({"/dev/stdout", "/dev/stderr"})
"""Names by which containers have a handler of files write to the console."""
_DESCRIPTORS: Final = frozenset({1, 2})


def is_console(handler: logging.Handler) -> bool:
    """Whether a handler writes to this process's stdout or stderr, as those of `basicConfig`, servers and rich do."""
    try:
        if isinstance(handler, logging.FileHandler):
            return handler.baseFilename in _FILES
        if isinstance(handler, logging.StreamHandler):
            stream = handler.stream
        else:
            stream = getattr(getattr(handler, "console", None), "file", None)
        if stream is None:
            return False
        streams = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
        return any(stream is one for one in streams) or isinstance(stream, StandardError) or _is_descriptor(stream)
    except Exception:  # a handler of somebody's own may raise anything when it is looked at
        return False


def leads_to_console(handler: logging.Handler) -> bool:
    """Whether a handler is a console's, or hands its records to one."""
    # Asked before each record of the standard library: nearly all handlers hand nothing on.
    if isinstance(handler, (MemoryHandler, QueueHandler)):
        return any(is_console(one) for _, one in behind(handler))
    return is_console(handler)


def behind(
    handler: logging.Handler, listeners: Iterable[QueueListener] = ()
) -> Iterator[tuple[Holder, logging.Handler]]:
    """Yield the handlers that this one hands its records to, each with what holds it.

    Args:
        listeners: those that are known. A `QueueHandler` names its own only where `dictConfig` has made both, from
            Python 3.12 on; others are told by the queue that they share.
    """
    for holder in _holders(handler, listeners):
        for one in _held(holder):
            yield holder, one
            yield from behind(one, listeners)


def _holders(handler: logging.Handler, listeners: Iterable[QueueListener]) -> Iterator[Holder]:
    if isinstance(handler, MemoryHandler):
        yield handler
    elif isinstance(handler, QueueHandler):
        named = getattr(handler, "listener", None)
        if isinstance(named, QueueListener):
            yield named
        for listener in listeners:
            if listener is not named and listener.queue is handler.queue:
                yield listener


def _held(holder: Holder) -> tuple[logging.Handler, ...]:
    if isinstance(holder, QueueListener):
        return tuple(holder.handlers)
    return () if holder.target is None else (holder.target,)


def _is_descriptor(stream: Any) -> bool:
    """Whether it is another stream around the same descriptor, as somebody makes it for its encoding."""
    try:
        return stream.fileno() in _DESCRIPTORS
    except Exception:  # a stream need not have one
        return False
