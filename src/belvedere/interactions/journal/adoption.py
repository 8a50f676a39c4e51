"""What dead workers left in a folder, taken over by one who lives."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path
from typing import Final

from belvedere import failures
from belvedere.interactions.journal.life import SUFFIX as LIFE
from belvedere.interactions.journal.life import Life
from belvedere.interactions.journal.segment import SUFFIX as EVENTS
from belvedere.interactions.journal.trail import Trail, is_name

ADOPTED: Final = 16
"""Dead workers whose files are open at once; the others wait, or are a sibling's."""
_ORPHANED: Final = 60.0
"""Seconds without a write after which segments without a sign of life are a dead worker's: one that lives sees within
seconds that its sign of life is gone."""


class Adoption:
    """Finds the files of dead workers; its methods are called by one thread at a time.

    Args:
        folder: of the journals.
        trails: of this process; what is adopted is added.
        dropped: where events are counted that cannot be read.

    Attributes:
        foreign: bytes of other workers' segments, when they were looked at last.
    """

    def __init__(self, folder: Path, trails: list[Trail], dropped: Counter[str]) -> None:
        self.foreign = 0
        self._folder = folder
        self._trails = trails
        self._dropped = dropped

    def adopt(self) -> int:
        """Take over what dead workers left; return how many segments.

        Raises:
            OSError: the folder cannot be read.
        """
        lives, sizes, written = self._look()
        now = time.time()
        for name in sizes.keys() - lives:
            # A time to come was told by a clock that has been put back since.
            if abs(now - written[name]) > _ORPHANED and self._revive(name):
                lives.add(name)
        own = {trail.name for trail in self._trails}
        segments = 0
        for name in sorted(lives - own):
            if len(self._trails) <= ADOPTED:
                segments += self._adopt(name)
        own = {trail.name for trail in self._trails}
        self.foreign = sum([size for name, size in sizes.items() if name not in own])
        return segments

    def _look(self) -> tuple[set[str], Counter[str], dict[str, float]]:
        """Return who has a sign of life, and of whose segments there are how many bytes, written when."""
        lives: set[str] = set()
        sizes: Counter[str] = Counter()
        written: dict[str, float] = {}
        with os.scandir(self._folder) as entries:
            for entry in entries:
                name = entry.name.removesuffix(EVENTS).rpartition(".")[0]
                if not is_name(name):
                    continue
                if entry.name.endswith(LIFE):
                    lives.add(name)
                elif entry.name.endswith(EVENTS):
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    sizes[name] += status.st_size
                    written[name] = max(written.get(name, 0.0), status.st_mtime)
        return lives, sizes, written

    def _revive(self, name: str) -> bool:
        """Give segments a sign of life to be adopted by; whether this process did."""
        try:
            Life.begin(self._folder / f"{name}{LIFE}").close()
        except OSError:
            return False
        return True

    def _adopt(self, name: str) -> int:
        try:
            trail = Trail.take_over(self._folder, name, self._dropped)
            if trail is None:
                return 0
            if trail.cursor.finished:
                trail.close()
                return 0
        except OSError as error:
            failures.contain("interactions", error)
            return 0
        self._trails.append(trail)
        return trail.segments
