"""Which lines are written: a least level, other ones for single loggers and all below them, changeable at run time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
NAMES: Final = {number: name for name, number in LEVELS.items()}

_CACHED_NAMES = 4096


class Levels:
    """The least level of each logger, by name; the closest ancestor that has one of its own decides."""

    def __init__(self, level: str, quiet: Mapping[str, str]) -> None:
        self.level = level
        self.quiet: Mapping[str, str] = {}
        self._thresholds: dict[str, int] = {}
        self.changed: list[Callable[[], None]] = []
        """Told of each change, for whoever keeps what a level decided."""
        self.set(level, quiet)

    def set(self, level: str, quiet: Mapping[str, str] | None = None) -> None:
        """Change the least level, and those of single loggers unless `quiet` is `None`.

        Raises:
            ValueError: there is no such level; nothing was changed.
        """
        own = dict(self.quiet if quiet is None else quiet)
        for name in (level, *own.values()):
            if name not in LEVELS:
                raise ValueError(f"{name!r} is no level; there are {', '.join(LEVELS)}")
        self.level = level
        self.quiet = own
        self._thresholds = {}
        for tell in self.changed:
            tell()

    def threshold(self, logger: str) -> int:
        """Return the least level that `logger` writes, as the standard library's number."""
        # Two loads instead of a lock: `set` puts a new dictionary in place and never empties one.
        thresholds = self._thresholds
        try:
            return thresholds[logger]
        except KeyError:
            pass
        name = logger
        while name and name not in self.quiet:
            name = name.rpartition(".")[0]
        threshold = LEVELS[self.quiet.get(name, self.level)]
        if len(thresholds) < _CACHED_NAMES:
            thresholds[logger] = threshold
        return threshold
