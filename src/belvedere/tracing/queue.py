"""Telemetry on its way out: a bounded queue, and a thread that sends what is in it.

The SDK's batch processor drops without counting, starts its thread before a server forks, and waits 30 seconds for a
collector that is gone. Here what is dropped is counted by reason, the thread begins with the first item in the process
that has it, and a flush has a bound.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from belvedere import conventions
from belvedere.tracing.hush import hushed

TOLD_EVERY: Final = 60.0
"""Seconds between two log events about an export that fails."""
GOODBYE: Final = 3.0
"""Seconds that the end of a process may wait for a collector."""
HANGS: Final = 2.0
"""Seconds after which an export is taken as one that will not arrive."""
LAST_TRY: Final = 0.5
"""Seconds that the end waits for a collector that did not take what was sent before."""
_LONGEST_REASON: Final = 300
_PAUSE: Final = 1.0
"""Seconds that a fork waits for an export; longer ones are cut off in the child."""
_IMPORTS: Final = 30.0
"""Seconds that a fork waits for an exporter to be made: it is imported meanwhile, and a child that is forked in the
middle of an import never gets past that import itself."""

Send = Callable[[Sequence[Any]], bool]
"""Sends items; whether they arrived."""


class Queue:
    """Takes items from any thread and never waits.

    Args:
        signal: what the items are, for the log.
        connect: makes what sends them, in the thread that will, without asking anybody elsewhere; what has `shutdown`
            is asked to end a wait.
        limit: items that wait at most; further ones are dropped.
        batch: items that are sent together at most, and after which none waits longer.
        delay: seconds that items wait for others.
        hide: replaces in a text what must not be logged.
    """

    def __init__(
        self,
        signal: str,
        connect: Callable[[], tuple[Send, Callable[[], None]]],
        *,
        limit: int,
        batch: int,
        delay: float,
        hide: Callable[[str], str] = str,
    ) -> None:
        self.dropped: Counter[str] = Counter()
        self._signal = signal
        self._connect = connect
        self._limit = limit
        self._batch = batch
        self._delay = delay
        self._hide = hide
        self._told = -TOLD_EVERY
        self._untold = 0
        self._closed = False
        self._reset()
        _queues.add(self)

    def _reset(self) -> None:
        self._items: deque[Any] = deque()
        self._full = 0
        self._sending = 0
        self._began = 0.0
        self._fails = False
        self._connected = False
        self._left = 0
        self._thread: threading.Thread | None = None
        self._end: Callable[[], None] | None = None
        self._starting = threading.Lock()
        self._busy = threading.Lock()
        self._wake = threading.Event()
        self._sent = threading.Condition()

    def put(self, item: Any) -> None:
        """Take an item, or drop and count it."""
        items = self._items
        if len(items) >= self._limit:
            self.dropped["queue_full"] += 1
            return
        items.append(item)
        if self._thread is None:
            self._start()
        elif len(items) >= self._batch and not self._wake.is_set():
            self._wake.set()

    def is_closed(self) -> bool:
        """Whether the end has come."""
        return self._closed

    def flush(self, seconds: float = GOODBYE) -> bool:
        """Send everything that waits, in at most so many seconds; whether nothing is left."""
        if self._thread is None or not self._thread.is_alive():
            return not self._items
        hangs = self._fails or (self._sending and time.monotonic() - self._began > HANGS)
        with self._sent:
            self._wake.set()
            return self._sent.wait_for(
                lambda: not self._items and not self._sending, min(seconds, LAST_TRY) if hangs else seconds
            )

    def take_leave(self, seconds: float = GOODBYE) -> None:
        """Send what waits, and tell what did not arrive in time, as nobody may be there to tell later."""
        if not self.flush(seconds) and not self._left:
            self._left = len(self._items) + self._sending
            self._told = -TOLD_EVERY
            missing = self._left + self._newly_full()
            self._tell("the collector has not taken them by the end of the service", missing)

    def close(self, seconds: float = GOODBYE) -> None:
        """Send what waits, in at most so many seconds; what is then left is dropped."""
        if self._closed:
            return
        self.take_leave(seconds)
        self._closed = True
        self.dropped["shutdown"] += len(self._items) + self._sending
        self._items.clear()
        self._wake.set()
        if self._end is not None and not self._sending:
            with hushed():
                try:
                    self._end()
                except Exception as error:
                    self._tell(f"{type(error).__name__}: {error}", 0)

    def pause(self) -> bool:
        """Wait a moment until nothing is being sent, and keep it so; what a thread holds then, a child never gets."""
        return self._busy.acquire(timeout=_PAUSE if self._connected else _IMPORTS)

    def resume(self) -> None:
        """Go on after `pause`."""
        self._busy.release()

    def forked(self) -> None:
        """In a child: what waits is the parent's, and so are its thread and its connection."""
        self._reset()
        self.dropped.clear()

    def _start(self) -> None:
        with self._starting:
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name=f"belvedere-{self._signal}", daemon=True)
                try:
                    self._thread.start()
                except RuntimeError:  # the interpreter is ending
                    self._thread = None

    def _run(self) -> None:
        items, wake = self._items, self._wake
        send: Send | None = None
        while not self.is_closed():
            wake.wait(self._delay)
            wake.clear()
            while items and not self.is_closed():
                # Before they are taken out: a flush is over when there is nothing in either place.
                self._sending = min(len(items), self._batch)
                self._began = time.monotonic()
                batch = [items.popleft() for _ in range(self._sending)]
                with self._busy, hushed() as said:
                    try:
                        if send is None:
                            send, self._end = self._connect()
                            self._connected = True
                            said.clear()  # of variables it cannot read, and one holds headers
                        arrived, why = send(batch), ""
                    except Exception as error:  # whatever an exporter does not catch itself
                        arrived, why = False, f"{type(error).__name__}: {error}"
                if self.is_closed():  # meanwhile: what was sent is counted as dropped
                    break
                self._fails = not arrived
                if not arrived:
                    self.dropped["export_failed"] += len(batch)
                    self._tell(why or (said[0] if said else "the collector is away"), len(batch))
                if full := self._newly_full():
                    self._tell("the queue was full", full)
                with self._sent:
                    self._sending = 0
                    self._sent.notify_all()
            with self._sent:
                self._sent.notify_all()

    def _newly_full(self) -> int:
        """Return how many items the queue had no room for since this was asked last."""
        before, self._full = self._full, self.dropped["queue_full"]
        return self._full - before

    def _tell(self, why: str, count: int) -> None:
        """Tell what is lost, once a minute."""
        self._untold += count
        now = time.monotonic()
        if now - self._told < TOLD_EVERY:
            return
        self._told, untold, self._untold = now, self._untold, 0
        fields = {"signal": self._signal, "reason": self._hide(why)[:_LONGEST_REASON], "dropped": untold}
        logging.getLogger(conventions.OWN_LOGGER).warning(conventions.Event.EXPORT_FAILED, extra=fields)


_queues: weakref.WeakSet[Queue] = weakref.WeakSet()
_paused: list[Queue] = []


def _before_fork() -> None:
    _paused.extend(queue for queue in list(_queues) if queue.pause())


def _after_fork_in_parent() -> None:
    while _paused:
        _paused.pop().resume()


def _after_fork_in_child() -> None:
    _paused.clear()
    for queue in list(_queues):
        queue.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
