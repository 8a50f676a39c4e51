"""What a subject of the conformance suite is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from belvedere import conventions
from tests.integrations.relay import Relay

SECRET = "s3cr3t-w0rd"
READY: dict[str, Any] = {"critical": True, "probes": ("ready", "detailed")}
"""For those that do not say so by themselves."""

Relays = Callable[[str, int], Awaitable[Relay]]


@dataclass
class Subject:
    """One integration, connected.

    Args:
        extra: what is installed for it; none for what needs no library.
        module: the library, without which it is missing.
        part: makes a part with these options.
        use: does something through the library, and returns when it is done.
        close: lets go of all connections.
        metrics: the names that it has in the catalogue.
        hooks: returns what is installed in the library now.
        relay: stands before the server; `None` where there is none.
        checked: whether it has a check.
        shared: whether several parts may watch the same calls.
        waits: whether its driver waits for ever for a connection that was lost without a word.
        absent: what is called without the library, as text.
        details: what its check shows besides.
    """

    extra: str
    module: str
    part: Callable[..., Any]
    use: Callable[[], Awaitable[None]]
    close: Callable[[], Awaitable[None]]
    metrics: tuple[conventions.MetricName, ...]
    hooks: Callable[[], Any]
    relay: Relay | None = None
    checked: bool = True
    shared: bool = True
    waits: bool = False
    absent: str = ""
    details: set[str] = field(default_factory=set)


@cache
def without_library(module: str, absent: str) -> str:
    """Return what a call says in a process that has no such library."""
    code = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from belvedere import integrations\n"
        f"try:\n    {absent}\nexcept ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return done.stdout.strip()
