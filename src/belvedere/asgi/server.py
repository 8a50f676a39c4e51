"""What is known of the server around the application."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import socket
import stat
import sys
from pathlib import Path
from typing import Any


def one_of_several() -> bool:
    """Return whether a supervisor started this process: uvicorn with workers, granian, hypercorn, or gunicorn."""
    return multiprocessing.parent_process() is not None or "gunicorn.arbiter" in sys.modules


def told_without_a_signal() -> bool | None:
    """Return whether the server around this process has told it to stop; `None` where a signal would tell.

    hypercorn's workers share an event with their supervisor. One that is replaced, after so many requests, ends too,
    and finds it unset.
    """
    if "hypercorn.asyncio.run" not in sys.modules:
        return None
    event = getattr(multiprocessing.current_process(), "_kwargs", {}).get("shutdown_event")
    return event is None or event.is_set() is True


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


def binds(port: int) -> bool:
    """Whether this process has a socket bound to `port` on which nobody listens yet, such as its server's.

    Supervisors of uvicorn, granian and hypercorn bind the service's port; their workers inherit it and listen only when
    the application has started. Until then the system lets others listen there, and then not the server.
    """
    try:
        descriptors = [int(entry.name) for entry in Path("/dev/fd").iterdir()]
    except (OSError, ValueError):
        return False
    return any(_waits_on(descriptor, port) for descriptor in descriptors)


def _waits_on(descriptor: int, port: int) -> bool:
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return False
        held = socket.socket(fileno=descriptor)
    except OSError:
        return False
    try:
        if held.family not in {socket.AF_INET, socket.AF_INET6} or held.type != socket.SOCK_STREAM:
            return False
        if held.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return False
        name = held.getsockname()
        # eventlet takes every descriptor for one of AF_INET.
        return isinstance(name, tuple) and name[1] == port
    except OSError:
        return False
    finally:
        held.detach()
