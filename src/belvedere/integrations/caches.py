"""Caches: what an application finds in them, and what it does not."""

from __future__ import annotations

from typing import Any, TypeVar

Value = TypeVar("Value")


class Cache:
    """Counts hits and misses of what an application keeps under one name; call it with what was found."""

    def __init__(self) -> None:
        self._hits: Any = None
        self._misses: Any = None

    def __call__(self, value: Value) -> Value:
        """Count a miss if `value` is `None`, else a hit; return it."""
        if value is None:
            self.miss()
        else:
            self.hit()
        return value

    def hit(self) -> None:
        """Count a hit."""
        if self._hits is not None:
            self._hits.inc()

    def miss(self) -> None:
        """Count a miss."""
        if self._misses is not None:
            self._misses.inc()

    def count_in(self, hits: Any, misses: Any) -> None:
        """Count there from now on; `None`: nowhere."""
        self._hits, self._misses = hits, misses
