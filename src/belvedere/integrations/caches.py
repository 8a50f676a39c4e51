"""Caches: what an application finds in them, and what it does not."""

from __future__ import annotations

import threading
from collections.abc import Callable
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

    def follow(self, info: Callable[[], Any]) -> Callable[[], None]:
        """Return what counts, each time it is called, the hits and misses that a cache has told since.

        Args:
            info: of the cache, as `functools.lru_cache` has it: `cache_info()`, with `hits` and `misses`.
        """
        lock = threading.Lock()
        seen = info()

        def note() -> None:
            nonlocal seen
            with lock:
                now, before = info(), seen
                seen = now
            if self._hits is not None and self._misses is not None:
                # One that was cleared has begun at 0 again.
                began = now.hits < before.hits or now.misses < before.misses
                self._hits.inc(now.hits if began else now.hits - before.hits)
                self._misses.inc(now.misses if began else now.misses - before.misses)

        return note

    def count_in(self, hits: Any, misses: Any) -> None:
        """Count there from now on; `None`: nowhere."""
        self._hits, self._misses = hits, misses
