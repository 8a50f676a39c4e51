"""Whose metrics there are, for those who read them in this process instead of scraping, such as `belvedere.testing`."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from belvedere.metrics import Metrics


class Instances:
    """Every `Metrics` that is in use and somebody still holds; `told` hears of each new one."""

    def __init__(self) -> None:
        self.told: list[Callable[[Metrics], None]] = []
        self._alive: weakref.WeakSet[Metrics] = weakref.WeakSet()

    def __iter__(self) -> Iterator[Metrics]:
        return iter(list(self._alive))

    def add(self, metrics: Metrics) -> None:
        self._alive.add(metrics)
        for tell in self.told:
            tell(metrics)

    def discard(self, metrics: Metrics) -> None:
        self._alive.discard(metrics)


instances: Final = Instances()
"""Of this process."""
