"""A thread beside the event loop, for what takes a while: one call after the other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
_Call = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[[], Any]]


class Aside:
    """Runs calls in a daemon thread of its own, which is started for the first one.

    An executor's thread is waited for when the process ends: somebody's collector that hangs would keep it from that.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    async def run(self, call: Callable[[], T]) -> T:
        """Return what `call` returns, or raise what it raises."""
        if self._thread is None or not self._thread.is_alive():
            # In a process that was forked there is no thread, and what waited for it waits elsewhere.
            self._calls = SimpleQueue()
            self._thread = threading.Thread(target=_work, args=(self._calls,), name=self._name, daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._calls.put((loop, answer, call))
        return await answer

    def close(self) -> None:
        """Let the thread end once it has done what was asked."""
        self._calls.put(None)
        self._thread = None


def _work(calls: SimpleQueue[_Call | None]) -> None:
    while (asked := calls.get()) is not None:
        loop, answer, call = asked
        result, error = None, None
        try:
            result = call()
        except BaseException as raised:  # for whoever waits
            error = raised
        try:
            loop.call_soon_threadsafe(_settle, answer, result, error)
        except RuntimeError:
            continue  # The loop was closed meanwhile: nobody waits.


def _settle(answer: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(result)
    else:
        answer.set_exception(error)
