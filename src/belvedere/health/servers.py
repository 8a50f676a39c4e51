"""What a worker can know of the server that runs it, and of that server's supervisor."""

from __future__ import annotations

import inspect
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from belvedere.health.handlers import Handler


def reloads() -> bool:
    """Whether a reloader ends this process with each change.

    uvicorn's configuration tells, wherever it came from; of others, the command line and granian's own variable.
    """
    if "--reload" in sys.argv[1:] or os.environ.get("GRANIAN_RELOAD", "").lower() in {"1", "true", "yes", "on"}:
        return True
    owners = (_owner(signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT))
    configurations = (getattr(owner, "config", None) for owner in owners)
    return any(getattr(configuration, "should_reload", False) for configuration in configurations)


def forcible(handlers: Sequence[Handler]) -> Any:
    """Return the server whose method one of these handlers is, if it can be forced to stop: uvicorn's can."""
    owners = (_owner(handler.saved) for handler in handlers)
    return next((owner for owner in owners if hasattr(owner, "force_exit")), None)


def same(one: Sequence[Handler], other: Sequence[Handler]) -> bool:
    """Whether the server does the same on two signals."""
    return [_own(handler.saved) for handler in one] == [_own(handler.saved) for handler in other]


def _own(handler: Any) -> Any:
    """Return a server's own handler, where something wrapped it, as the counting of workers does."""
    return inspect.unwrap(handler) if callable(handler) else handler


def _owner(handler: Any) -> Any:
    return getattr(_own(handler), "__self__", None)
