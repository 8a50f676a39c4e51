"""What is known of the server around the application."""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
from typing import Any


def one_of_several() -> bool:
    """Return whether a supervisor started this process: uvicorn with workers, granian, hypercorn, or gunicorn."""
    return multiprocessing.parent_process() is not None or "gunicorn.arbiter" in sys.modules


def port_to_come() -> int | None:
    """Return the port that the server is to listen on once the lifespan has begun, where that can be known.

    Called in the task of the lifespan. A uvicorn that has no supervisor alone listens that late; its configuration is
    found where the task began, as frameworks wrap the `receive` that it gives.
    """
    task = asyncio.current_task()
    frame: Any = getattr(task.get_coro(), "cr_frame", None) if task is not None else None
    if frame is None or one_of_several():
        return None
    config = getattr(frame.f_locals.get("self"), "config", None)
    if getattr(config, "uds", None) is not None or getattr(config, "fd", None) is not None:
        return None
    port = getattr(config, "port", None)
    return port if isinstance(port, int) else None
