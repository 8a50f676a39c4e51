"""Calls of a library's object or class that parts wrap, and give back in whatever order they leave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Wrap = Callable[[Any], Any]
"""Takes the call and returns what is to be called instead."""

_hooked: dict[tuple[int, str], list[Hooked]] = {}
"""Of each attribute, the lowest first: there is a second one where somebody else's wrapping lies between."""


class Hooked:
    """One attribute that is wrapped, by the last of `owners` outermost."""

    def __init__(self, target: Any, name: str) -> None:
        self.target = target
        self.name = name
        self.own = name in vars(target)
        self.original = vars(target)[name] if self.own else getattr(target, name)
        self.owners: dict[int, Wrap] = {}
        self._set: Any = None

    @property
    def is_covered(self) -> bool:
        """Whether somebody has wrapped ours."""
        return self._set is not None and vars(self.target).get(self.name) is not self._set

    def rebuild(self) -> None:
        """Wrap the original once for each owner; without one, leave the attribute as it was found."""
        if self.is_covered:
            return  # What has left lets calls through.
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
    layers = _hooked.setdefault((id(target), name), [])
    if not layers or layers[-1].is_covered:
        layers.append(Hooked(target, name))
    layers[-1].owners[id(owner)] = wrap
    layers[-1].rebuild()


def unhook(owner: object, target: Any, name: str) -> None:
    """Take that back."""
    layers = _hooked.get((id(target), name), [])
    for hooked in layers:
        if hooked.owners.pop(id(owner), None) is not None:
            hooked.rebuild()
            if not hooked.owners:
                layers.remove(hooked)
            break
    if not layers:
        _hooked.pop((id(target), name), None)
