from __future__ import annotations

import asyncio
from typing import Any

from belvedere.health.tasks import cancelled


def test_a_task_of_a_closed_loop_cannot_be_cancelled() -> None:
    """A task whose loop was closed under it is returned with the others, and raises nothing."""
    loop = asyncio.new_event_loop()
    waiting = asyncio.Event().wait()
    task: Any = loop.create_task(waiting)
    loop.close()
    assert cancelled(None, task) == [task]
    # asyncio would complain, rightly, of what is done here to a task.
    task._log_destroy_pending = False
    waiting.close()
