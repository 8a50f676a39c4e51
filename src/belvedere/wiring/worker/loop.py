"""An event loop in a thread of its own: checks and probes are coroutines, and a Celery worker has no loop for them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from typing import Any

from belvedere import failures

_ENDS_WITHIN = 2.0
"""Seconds that the end of a worker waits for what still runs on the loop."""


class SideLoop:
    """Begins with `start`, ends with `stop`; a process that is forked has none."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Run a loop, unless one runs."""
        if self._thread is None or not self._thread.is_alive():
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=_serve, args=(self._loop,), name="belvedere-worker-loop", daemon=True
            )
            self._thread.start()

    def run(self, call: Callable[[], Coroutine[Any, Any, Any]], within: float) -> Any:
        """Return what a coroutine returns; `None` if there is no loop, it fails, or takes longer than so many seconds.

        Never to be called on the loop itself.
        """
        loop, thread = self._loop, self._thread
        if loop is None or thread is None or not thread.is_alive():
            return None
        asked = call()
        try:
            future = asyncio.run_coroutine_threadsafe(asked, loop)
        except RuntimeError:  # closed just now
            asked.close()
            return None
        try:
            return future.result(within)
        except (TimeoutError, CancelledError):
            future.cancel()
        except Exception as error:
            failures.contain("worker", error)
        return None

    def stop(self) -> None:
        """End the loop, and what is left on it."""
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        if loop is None or thread is None or not thread.is_alive():
            return
        try:
            loop.call_soon_threadsafe(loop.stop)
        except RuntimeError:
            return
        thread.join(_ENDS_WITHIN)

    def forked(self) -> None:
        """Forget the parent's; it is kept from being collected, as that would close what the parent waits on."""
        if self._loop is not None:
            _parents.append(self._loop)
        self._loop = self._thread = None


_parents: list[asyncio.AbstractEventLoop] = []


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left, timeout=_ENDS_WITHIN / 2))
    except Exception as error:
        failures.contain("worker", error)
    finally:
        loop.close()
