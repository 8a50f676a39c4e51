"""Console handlers behind others, where nobody can take them off a logger: those of queues' listeners and of memory.

What they would have written has come to us already, when it was logged and with the ids of its request. Others in the
same place, such as a file's handler, go on getting their records.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from contextvars import Context
from logging.handlers import MemoryHandler, QueueListener
from typing import Any
from weakref import WeakSet

from belvedere import failures
from belvedere.logs.bridge import Handler
from belvedere.logs.consoles import Holder, behind, is_console

Handle = Callable[[QueueListener, logging.LogRecord], Any]


class Relay(logging.Handler):
    """Stands in the place of a console handler, and writes what has not come to us when it was logged.

    Args:
        handler: what makes lines of records.
        came: whether a record has come to it already.
        stands_for: the console's.
    """

    def __init__(
        self, handler: Handler, came: Callable[[logging.LogRecord], bool], stands_for: logging.Handler
    ) -> None:
        super().__init__()
        self.stands_for = stands_for
        self._handler = handler
        self._came = came

    def handle(self, record: logging.LogRecord) -> bool:
        try:
            if not self._came(record):
                # Whoever empties a queue or memory is in another request than the one that logged, or in none.
                Context().run(self._handler.handle, record)
        except Exception as error:  # a listener's thread must not end by it
            failures.contain("logs", error)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        self.handle(record)


class Relays:
    """Puts relays in place, and consoles back.

    Args:
        came: as `Relay` has it.
        take_again: called by a listener that is about to write to a console.
    """

    def __init__(
        self, handler: Handler, came: Callable[[logging.LogRecord], bool], take_again: Callable[[], None]
    ) -> None:
        self._handler = handler
        self._came = came
        self._take_again = take_again
        self._holders: WeakSet[Holder] = WeakSet()
        self._listeners: WeakSet[QueueListener] = WeakSet()
        self._handle: tuple[Handle, Handle] | None = None

    def look(self) -> None:
        """Find the listeners that run, and have the others come to us with their first record."""
        for thread in threading.enumerate():
            listener = getattr(getattr(thread, "_target", None), "__self__", None)
            if isinstance(listener, QueueListener):
                self._listeners.add(listener)
        for listener in list(self._listeners):
            self._place((listener, one) for one in tuple(listener.handlers))
        if self._handle is None:
            before = QueueListener.handle
            self._handle = (before, self._looking(before))
            QueueListener.handle = self._handle[1]  # type: ignore[method-assign,assignment]

    def place(self, handlers: Iterable[logging.Handler]) -> bool:
        """Put relays in the place of consoles behind `handlers`; return whether there are any now."""
        try:
            found = [pair for handler in handlers for pair in behind(handler, list(self._listeners))]
            self._place(found)
        except Exception as error:  # a handler of somebody's own may raise anything when it is looked at
            failures.contain("logs", error)
            return False
        return any(is_console(one) or isinstance(one, Relay) for _, one in found)

    def give_back(self) -> None:
        """Put every console back in its place."""
        for holder in list(self._holders):
            if isinstance(holder, QueueListener):
                holder.handlers = tuple(_stood_for(one) for one in holder.handlers)
            elif isinstance(holder.target, Relay):
                holder.setTarget(holder.target.stands_for)
        self._holders.clear()
        self._listeners.clear()
        if self._handle is not None and QueueListener.handle is self._handle[1]:
            QueueListener.handle = self._handle[0]  # type: ignore[method-assign,assignment]
        self._handle = None

    def _place(self, found: Iterable[tuple[Holder, logging.Handler]]) -> None:
        for holder, one in list(found):
            if not is_console(one):
                continue
            relay = Relay(self._handler, self._came, one)
            self._holders.add(holder)
            if isinstance(holder, MemoryHandler):
                holder.setTarget(relay)
            else:
                holder.handlers = tuple(relay if each is one else each for each in holder.handlers)

    def _looking(self, before: Handle) -> Handle:
        """Look at a listener's handlers before each of its records: nothing else tells of one that is made by hand."""

        def handle(listener: QueueListener, record: logging.LogRecord) -> Any:
            # Somebody who has wrapped it may call ours when all is given back.
            if self._handle is not None:
                try:
                    if any(is_console(one) for one in listener.handlers):
                        self._listeners.add(listener)
                        self._take_again()
                except Exception as error:  # a listener's thread must not end by it
                    failures.contain("logs", error)
            return before(listener, record)

        return handle


def _stood_for(handler: logging.Handler) -> logging.Handler:
    return handler.stands_for if isinstance(handler, Relay) else handler
