"""Calls of a library's object or class that parts wrap, and give back in whatever order they leave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Wrap = Callable[[Any], Any]
"""Takes the call and returns what is to be called instead."""

_hooked: dict[tuple[int, str], Hooked] = {}


class Hooked:
    """One attribute that is wrapped, by the last of `owners` outermost."""

    def __init__(self, target: Any, name: str) -> None:
        self.target = target
        self.name = name
        self.own = name in vars(target)
        self.original = vars(target)[name] if self.own else getattr(target, name)
        self.owners: dict[int, Wrap] = {}
        self._set: Any = None

    def rebuild(self) -> None:
        """Wrap the original once for each owner; without one, leave the attribute as it was found."""
        if self._set is not None and vars(self.target).get(self.name) is not self._set:
            return  # Somebody has wrapped ours: what has left lets calls through.
        if self.owners:
            call = self.original
            for wrap in self.owners.values():
                call = wrap(call)
            self._set = call
            setattr(self.target, self.name, call)
        elif self.own:
            setattr(self.target, self.name, self.original)
        else:
            delattr(self.target, self.name)


def hook(owner: object, target: Any, name: str, wrap: Wrap) -> None:
    """Have what `wrap` returns called in place of an attribute of `target`."""
    hooked = _hooked.setdefault((id(target), name), Hooked(target, name))
    hooked.owners[id(owner)] = wrap
    hooked.rebuild()


def unhook(owner: object, target: Any, name: str) -> None:
    """Take that back."""
    hooked = _hooked.get((id(target), name))
    if hooked is not None and hooked.owners.pop(id(owner), None) is not None:
        hooked.rebuild()
        if not hooked.owners:
            del _hooked[id(target), name]
