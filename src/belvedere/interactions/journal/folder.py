"""The folder of a service's journals: whose it is, and what dead workers left there."""

from __future__ import annotations

import errno
import os
import stat
from collections import Counter
from pathlib import Path

from belvedere.interactions.journal.life import SUFFIX as LIFE
from belvedere.interactions.journal.segment import SUFFIX as EVENTS
from belvedere.interactions.journal.trail import Trail


def make(folder: Path) -> None:
    """Make the folder, for this user alone; leave one that is there as it is.

    Raises:
        OSError: it cannot be made, or belongs to somebody else, who could put anything there.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    if found.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, "belongs to another user", str(folder))


class Census:
    """What workers have in a folder.

    Attributes:
        lives: the names of all workers.
        segments: the names of each worker's segments, in order.
        sizes: the bytes of each worker's segments.
    """

    def __init__(self, folder: Path) -> None:
        self.lives: list[str] = []
        self.segments: dict[str, list[str]] = {}
        self.sizes: Counter[str] = Counter()
        self._folder = folder
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(LIFE):
                    self.lives.append(entry.name.removesuffix(LIFE))
                elif entry.name.endswith(EVENTS):
                    self._add(entry)
        self.lives.sort()
        for names in self.segments.values():
            names.sort()

    def adopt(self, name: str, dropped: Counter[str]) -> Trail | None:
        """Take over what a worker left; `None`: it lives, or somebody else has taken it over.

        Args:
            name: of the worker.
            dropped: where events are counted that cannot be read.

        Raises:
            OSError: it cannot be looked at.
        """
        return Trail.take_over(self._folder, name, self.segments.get(name, []), dropped)

    def _add(self, entry: os.DirEntry[str]) -> None:
        name = entry.name.removesuffix(EVENTS).rpartition(".")[0]
        self.segments.setdefault(name, []).append(entry.name)
        try:
            self.sizes[name] += entry.stat(follow_symlinks=False).st_size
        except OSError:
            pass  # Removed meanwhile.
