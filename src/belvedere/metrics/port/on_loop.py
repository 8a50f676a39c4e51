"""What has to be asked on the event loop, for threads beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from typing import Any

from belvedere import failures


class OnLoop:
    """Runs coroutines on `loop`, which is set once there is one, and waits for them no longer than told."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None

    def run(self, call: Callable[[], Coroutine[Any, Any, None]], within: float) -> bool:
        """Return whether `call` came to its end within so many seconds; never to be called on the loop itself."""
        loop = self.loop
        if loop is None or not loop.is_running():
            return False
        asked = call()
        try:
            future = asyncio.run_coroutine_threadsafe(asked, loop)
        except RuntimeError:  # closed just now
            asked.close()
            return False
        try:
            future.result(within)
        except (TimeoutError, CancelledError):
            # The loop is stuck, or about to end.
            future.cancel()
            return False
        except Exception as error:
            failures.contain("metrics", error)
            return False
        return True
