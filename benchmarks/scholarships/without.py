"""Takes Belvedere, or its parts, off the service before it is built: the service itself knows of no such switch.

What is left is what the service would be without: its routes, queries, models, sign-in, and middleware of its own. The
dependencies that interactions and limits put on routes are taken off the routes, as one that does nothing costs too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from fastapi import Depends
from fastapi.routing import APIRoute

import belvedere


async def _nothing() -> None:
    """Stands for a dependency until the route is made."""


class _Absent:
    """In the place of a part: it takes every call, and marks the dependencies that it is asked for."""

    def __init__(self, *_arguments: Any, **_options: Any) -> None:
        pass

    def __getattr__(self, _name: str) -> Callable[..., Any]:
        return _ignored

    def record(self, *_arguments: Any, **_options: Any) -> Any:
        return Depends(_nothing)

    limit = record


class _Ignored:
    """What a call on an absent part gives: nothing, whether it is awaited or not."""

    def __await__(self) -> Iterator[None]:
        yield from ()


def _ignored(*_arguments: Any, **_options: Any) -> _Ignored:
    return _Ignored()


def take_off_parts() -> None:
    """Have the service built without interactions and limits."""
    for name in ("Interactions", "RateLimiter"):
        if hasattr(belvedere, name):
            setattr(belvedere, name, _Absent)
    made, observe = APIRoute.__init__, belvedere.observe

    def route(self: APIRoute, *arguments: Any, **options: Any) -> None:
        kept = [each for each in options.get("dependencies") or () if getattr(each, "dependency", None) is not _nothing]
        made(self, *arguments, **{**options, "dependencies": kept})

    def observed(app: Any, *parts: Any, **options: Any) -> Any:
        return observe(app, *(part for part in parts if not isinstance(part, _Absent | _Ignored)), **options)

    APIRoute.__init__ = route  # type: ignore[method-assign]
    belvedere.observe = observed


def take_off_everything() -> None:
    """Have the service built without Belvedere; `bind` and loggers are called, and do nothing that is seen."""
    take_off_parts()
    belvedere.observe = _ignored  # type: ignore[assignment]
    belvedere.bind = _ignored  # type: ignore[assignment]
