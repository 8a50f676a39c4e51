"""Ending tasks, whichever loop they belong to: test clients have one for each request."""

from __future__ import annotations

import asyncio
from typing import Any

Task = asyncio.Task[Any]


def pending(task: Task | None) -> bool:
    """Whether `task` will still be done, which is true of those of the running loop alone."""
    return task is not None and not task.done() and task.get_loop() is asyncio.get_running_loop()


def cancelled(*tasks: Task | None) -> list[Task]:
    """Cancel those of `tasks` that are not done, from any thread, and return them."""
    found = [task for task in tasks if task is not None and not task.done()]
    for task in found:
        try:
            task.get_loop().call_soon_threadsafe(task.cancel)
        except RuntimeError:
            continue  # Its loop was closed under it.
    return found
