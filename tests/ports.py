"""Ports for servers that the tests start: chosen now, bound later, and nobody else's meanwhile."""

from __future__ import annotations

import itertools
import os
import socket
import threading
from functools import cache
from pathlib import Path

FIRST = 20000
BLOCK = 100
"""Ports that a process of the tests has for itself; it gives out each again when the others have had their turn."""
_turns = itertools.count()
_lock = threading.Lock()


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on, and that no other process of the tests gives out.

    It lies below those that the kernel gives to connections and to whoever binds port 0: one of these may be somebody
    else's before the server that it was chosen for has started, or the very port that a client asks from.
    """
    with _lock:
        for _ in range(BLOCK):
            port = _block(os.getpid()) + next(_turns) % BLOCK
            with socket.socket() as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
                try:
                    listener.bind(("127.0.0.1", port))
                    listener.listen()
                except OSError:
                    continue
                return port
    raise RuntimeError("all ports of this process are taken")


@cache
def _block(pid: int) -> int:
    """Return the first port of the block that this process has until it ends."""
    claim = socket.socket(socket.AF_UNIX)
    for first in range(FIRST, max(_ephemeral(), FIRST + 100 * BLOCK), BLOCK):
        try:
            claim.bind(f"\0belvedere-tests-{first}")  # a name, no file: the kernel forgets it with the process
        except OSError:
            continue
        claim.detach()
        return first
    raise RuntimeError("all blocks of ports are taken")


def _ephemeral() -> int:
    """Return the first port that the kernel gives out by itself."""
    return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
