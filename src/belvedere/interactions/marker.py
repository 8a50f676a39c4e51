"""Marks on routes: which of them record, and what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from fastapi import params

from belvedere.interactions.compact import NOTHING, head

_MARK: Final = "__belvedere_interaction__"
_REMEMBERED: Final = 10_000
"""Routes that are remembered; an application that makes routes as it runs is looked through again."""


class Mark:
    """What `record` was told: which event, whose, and which parameter of the path is its subject."""

    __slots__ = ("event", "owner", "subject")

    def __init__(self, owner: object, event: str, subject: str | None) -> None:
        self.owner = owner
        self.event = event
        self.subject = subject


def dependency(mark: Mark) -> Any:
    """Return a dependency that does nothing and carries a mark."""

    async def recorded() -> None:
        """Do nothing: without Belvedere around the application, nothing is recorded."""

    setattr(recorded, _MARK, mark)
    return params.Depends(recorded)


class Way:
    """What one route records: an event, about a parameter of its path, and for which methods; for none without a mark.

    A 405 took a route as well, whose methods it is not of. `heads` has what an event begins with, by method.
    """

    __slots__ = ("event", "heads", "route", "subject")

    def __init__(self, route: Any, mark: Mark | None, kind: str) -> None:
        # While it is kept here, nobody else has its id.
        self.route = route
        self.event = "" if mark is None else mark.event
        self.subject = None if mark is None else mark.subject
        methods = () if mark is None else getattr(route, "methods", None) or ()
        kind = NOTHING if self.subject is None else kind
        self.heads: dict[str, str] = {method: head(self.event, method, kind) for method in methods}


class Marks:
    """Finds the marks of one owner on the routes that requests took, and takes them out of their way.

    A dependency that does nothing costs each request 7 to 9 µs. So where a mark is found it is taken out of what the
    route resolves at run time; what the application wrote, `route.dependencies`, stays as it is. `restore` puts it
    back.

    Args:
        owner: whose marks.
        kind: `NUMBER` or `TEXT`, what its subjects are.
    """

    def __init__(self, owner: object, kind: str) -> None:
        self._owner = owner
        self._kind = kind
        self.known: dict[int, Way] = {}
        """What routes record, by `id()`."""
        self._stripped: list[tuple[Any, list[Any], list[Any]]] = []

    def look(self, route: Any) -> Way:
        """Return what a route records, and know it from then on: its nearest mark, if there are several."""
        dependant = getattr(route, "dependant", None)
        found: list[Mark] = [] if dependant is None else [mark for mark, _ in self._below(dependant)]
        if found:
            self._strip(dependant)
        if len(self.known) >= _REMEMBERED:
            self.known.clear()
        way = self.known[id(route)] = Way(route, found[-1] if found else None, self._kind)
        return way

    def restore(self) -> None:
        """Put everything back where it was."""
        self.known.clear()
        while self._stripped:
            dependant, before, after = self._stripped.pop()
            if dependant.dependencies is after:
                dependant.dependencies = before
            else:  # somebody else's list by now, with what is theirs
                dependant.dependencies = [one for one in before if self._is_own(one)] + dependant.dependencies

    def _below(self, dependant: Any) -> Iterator[tuple[Mark, Any]]:
        """Yield marks in the order in which FastAPI resolves them: application, routers, route, parameters."""
        for one in dependant.dependencies:
            mark = getattr(one.call, _MARK, None)
            if mark is not None and mark.owner is self._owner:
                yield mark, one
            yield from self._below(one)

    def _strip(self, dependant: Any) -> None:
        before = dependant.dependencies
        after = [one for one in before if not self._is_own(one)]
        if len(after) < len(before):
            # A list of its own: a request that waits for one of the dependencies goes on through the other.
            dependant.dependencies = after
            self._stripped.append((dependant, before, after))

    def _is_own(self, one: Any) -> bool:
        """Whether this is nothing but a mark; what is a parameter's value has to stay."""
        mark = getattr(one.call, _MARK, None)
        return mark is not None and mark.owner is self._owner and one.name is None
