"""Whoever handles a signal: a function of Python's `signal` module, a callback of the event loop, or both."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable
from contextvars import Context
from typing import Any

OnSignal = Callable[[int], None]


class ProcessHandler:
    """A handler set by `signal.signal`, as uvicorn's is: replaced by `on_signal`, called, and put back."""

    def __init__(self, number: int, saved: Callable[..., Any], on_signal: OnSignal) -> None:
        self.saved = saved
        self._number = number
        self._on_signal: OnSignal | None = on_signal
        self._pid = os.getpid()
        # A bound method is a new object each time it is asked for: kept, so that it can be known again.
        self._ours = self._handle
        signal.signal(number, self._ours)

    @property
    def current(self) -> bool:
        """Whether nobody has replaced ours since."""
        return signal.getsignal(self._number) is self._ours

    def call(self) -> None:
        """Do what would have happened without us."""
        self.saved(self._number, sys._getframe())

    def restore(self) -> None:
        """Put the handler back; where somebody replaced or wrapped ours since, ours only passes on from now on."""
        self._on_signal = None
        if self.current:
            try:
                signal.signal(self._number, self.saved)
            except ValueError:  # in another thread than the main one
                return

    def _handle(self, number: int, frame: Any) -> None:
        # A process that was forked off inherits the handler, but neither the server nor the loop.
        if self._on_signal is None or os.getpid() != self._pid:
            self.saved(number, frame)
        else:
            self._on_signal(number)


class LoopHandler:
    """A callback given to `loop.add_signal_handler`, as granian's is: replaced, called, and put back.

    `signal.signal` cannot replace it: loops learn of signals by their wake-up descriptor. Nor is there a way to ask a
    loop for it, so that the loop's own table is changed.

    Raises:
        LookupError: the loop's callback cannot be read.
    """

    def __init__(
        self, number: int, loop: asyncio.AbstractEventLoop, table: dict[int, Any], on_signal: OnSignal
    ) -> None:
        self._number = number
        self._table = table
        self._handle = table[number]
        self._context, self.saved, self._arguments = _parts(self._handle)
        self._on_signal: OnSignal | None = on_signal
        loop.add_signal_handler(number, self._signalled)
        self._ours = table[number]

    @property
    def current(self) -> bool:
        """Whether nobody has replaced ours since."""
        return self._table.get(self._number) is self._ours

    def call(self) -> None:
        """Do what would have happened without us."""
        self._context.run(self.saved, *self._arguments)

    def restore(self) -> None:
        """Put the callback back, unless somebody replaced ours since."""
        self._on_signal = None
        if self.current:
            self._table[self._number] = self._handle

    def _signalled(self) -> None:
        if self._on_signal is None:
            self.call()
        else:
            self._on_signal(self._number)


Handler = ProcessHandler | LoopHandler


def hold(number: int, loop: asyncio.AbstractEventLoop, on_signal: OnSignal) -> list[Handler]:
    """Have `on_signal` called in place of what handles a signal; nothing is held where nothing handles it.

    A signal can have both kinds of handler, as in an asyncio program with a callback of its own around uvicorn's
    server: each signal then reaches both. Both are held, and `on_signal` is called once.
    """
    found = signal.getsignal(number)
    table = _table(loop, number)
    if not callable(found):
        return []
    try:
        if _belongs_to(loop, found):
            return [] if table is None else [LoopHandler(number, loop, table, on_signal)]
        # Last: `add_signal_handler` makes the loop's function the handler of the process.
        silent = [] if table is None else [LoopHandler(number, loop, table, _nothing)]
        return [ProcessHandler(number, found, on_signal), *silent]
    except LookupError:
        return []


def _nothing(number: int) -> None:
    """Leave it to the other handler of the same signal."""


def _belongs_to(loop: asyncio.AbstractEventLoop, handler: Any) -> bool:
    """Whether this is what a loop sets by `signal.signal` for its own callbacks."""
    if getattr(handler, "__self__", None) is loop:
        return True
    return getattr(handler, "__module__", "") == "asyncio.unix_events"


def _table(loop: asyncio.AbstractEventLoop, number: int) -> dict[int, Any] | None:
    """Return the loop's callbacks by signal, if there is one for this signal."""
    known = getattr(loop, "_signal_handlers", None)
    # uvloop has it under the same name, but shows it to nobody but the garbage collector.
    for table in gc.get_referents(loop) if known is None else [known]:
        if isinstance(table, dict) and hasattr(table.get(number), "cancelled"):
            return table
    return None


def _parts(handle: Any) -> tuple[Context, Callable[..., Any], tuple[Any, ...]]:
    """Return a loop handle's context, callback and arguments.

    Raises:
        LookupError: it has another form than those of asyncio and uvloop.
    """
    if isinstance(handle, asyncio.Handle):
        inside: Any = handle
        return inside._context, inside._callback, tuple(inside._args or ())
    known = gc.get_referents(handle)
    for place, context in enumerate(known):
        if isinstance(context, Context):
            callback, arguments = (*known[place + 1 :], None, None)[:2]
            if callable(callback) and isinstance(arguments, tuple | None):
                return context, callback, arguments or ()
    raise LookupError(f"{handle!r} is no handle of asyncio or uvloop")
