"""A log file that gets every line as well, and that others may rotate."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from belvedere import failures

CHECK_EVERY: Final = 1.0
"""Seconds between two looks at whether the file is still the one that has its name."""


class LogFile:
    """Appends to the file at `path`, whose folder is made.

    When logrotate has moved it away, a new one is begun within a second. One that cannot be opened or written is
    reported, tried again, and stops nothing. Several processes may share it: each write goes to its end, whole.
    """

    def __init__(self, path: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = Path(path).absolute()
        self._clock = clock
        self._descriptor: int | None = None
        self._checked: float | None = None

    def write(self, data: bytes) -> None:
        now = self._clock()
        if self._checked is None or now - self._checked >= CHECK_EVERY:
            self._checked = now
            self._follow()
        if self._descriptor is None:
            return
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            failures.contain("logs", error)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        self._checked = None

    def _follow(self) -> None:
        """Open the file, unless what is open still has its name."""
        try:
            if self._descriptor is not None:
                opened = os.fstat(self._descriptor)
                try:
                    named = self._path.stat()
                except FileNotFoundError:
                    named = None
                if named is not None and (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino):
                    return
                self.close()
                self._checked = self._clock()
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        except OSError as error:
            failures.contain("logs", error)
