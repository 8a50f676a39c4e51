"""A process that was forked has its parent's journals open; it leaves them to the parent, and begins its own."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Forked(Protocol):
    """Whoever wants to know."""

    def forked(self) -> None:
        """Called in the child, before anything else runs there."""


_all: WeakSet[Forked] = WeakSet()


def follow(one: Forked) -> None:
    """Tell one about each fork, as long as it lives."""
    _all.add(one)


def _tell() -> None:
    for one in list(_all):
        one.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_tell)
