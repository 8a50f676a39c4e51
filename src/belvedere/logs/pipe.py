"""A pipe that several processes write to: how lines stay whole that are longer than what a pipe takes in one go.

Up to 4,096 bytes are written whole or not at all, whoever else writes (PIPE_BUF, pipe(7)). A longer line may be taken
in part: then another process's lines get into its midst, and what a process cannot finish before it ends stays half.
So a longer line is begun only where there is room for all of it. The pipe is made larger for that, and siblings take
turns by a lock on the pipe itself (flock(2) on a description of our own), which leaves nothing behind. A first piece
with nothing kept before it, which is nearly every write, asks for none of this.
"""

from __future__ import annotations

import fcntl
import mmap
import sys
import termios
import time
from collections.abc import Callable
from typing import Final

from belvedere.logs.sinks import BACKLOG, PIECE, CrowdedError, NonBlocking

CAPACITY: Final = 1_048_576
"""Bytes that the pipe is to hold once there are longer lines: what Linux allows anybody (pipe-max-size, proc(5))."""
RESERVE: Final = 131_072
"""Bytes that stay free beside a longer line, for the short ones that siblings write without asking."""
PATIENCE: Final = 5.0
"""Seconds that a sibling which holds the lock and does not come to write is waited for."""


class Shared(NonBlocking):
    """What siblings write to as well, by this very class: longer lines by turns, and begun where there is room."""

    short = fcntl.LOCK_SH
    """The lock of a piece that is taken whole or not at all: siblings may write theirs before and after it."""

    def __init__(
        self,
        descriptor: int,
        *,
        block: bool,
        limit: int = BACKLOG,
        owned: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(descriptor, block=block, limit=limit, owned=owned)
        self._clock = clock
        self._begun = False
        self._holds = False
        self._refused: float | None = None

    def forget(self) -> None:
        # A pipe's description is shared with the parent, and with it the lock, which is the parent's: another is
        # opened.
        self._holds = self._begun = False
        super().forget()
        self._give_back()

    def _put_kept(self, data: memoryview | bytes) -> int:
        long = self._begun or len(data) > PIECE
        self._take(fcntl.LOCK_EX if long else self.short)
        if long and not self._begun and not self._has_room(len(data)):
            # The lock is kept: others would take the room again and again.
            raise CrowdedError
        try:
            taken = self._put(data)
        except BlockingIOError:
            self._refused = None  # Not the lock is in the way.
            if not self._begun:
                self._leave()
            raise
        self._begun = taken < len(data)
        if not self._begun:
            self._leave()
        return taken

    def _clear(self) -> None:
        super()._clear()
        self._begun = False
        self._leave()

    def _take(self, mode: int) -> None:
        """Take the lock; where a sibling holds it, `CrowdedError` is raised as long as there is patience."""
        if self._holds:
            return
        try:
            self._lock(mode | fcntl.LOCK_NB)
        except BlockingIOError:
            now = self._clock()
            if self._refused is None:
                self._refused = now
            if now - self._refused < PATIENCE:
                raise CrowdedError from None
        except OSError:
            return  # There are no such locks here: it has to go without.
        else:
            self._refused = None
            self._holds = True

    def _leave(self) -> None:
        if self._holds:
            self._holds = False
            self._lock(fcntl.LOCK_UN)

    def _lock(self, mode: int) -> None:
        fcntl.flock(self._descriptor, mode)

    def _has_room(self, size: int) -> bool:
        """Whether so many bytes are taken at once."""
        raise NotImplementedError


class Pipe(Shared):
    """A pipe by a description of our own.

    A line that is longer than the pipe can be made to hold is begun when the pipe is empty and goes out in parts: the
    lock keeps siblings from it, and only the end of the process can leave it half.
    """

    def __init__(
        self, descriptor: int, *, block: bool, limit: int = BACKLOG, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(descriptor, block=block, limit=limit, owned=True, clock=clock)
        self._asked_for_more = False

    def _has_room(self, size: int) -> bool:
        """Whether the pipe takes so many bytes, and others' short lines in between."""
        try:
            capacity = fcntl.fcntl(self._descriptor, fcntl.F_GETPIPE_SZ)
            if not self._asked_for_more and capacity < CAPACITY:
                self._asked_for_more = True
                capacity = self._enlarge(capacity)
            found = fcntl.ioctl(self._descriptor, termios.FIONREAD, bytes(4))
        except OSError:
            return True  # Nobody can tell.
        unread = int.from_bytes(found, sys.byteorder)
        # A pipe is a ring of pages. Any two neighbours hold more than a page together, but for the first, which may
        # have been read in part, and the last (pipe_write in Linux's fs/pipe.c).
        used = 2 * unread + 2 * mmap.PAGESIZE
        return unread == 0 or capacity - used >= size + RESERVE

    def _enlarge(self, capacity: int) -> int:
        try:
            return fcntl.fcntl(self._descriptor, fcntl.F_SETPIPE_SZ, CAPACITY)
        except OSError:
            return capacity  # The user has too many large pipes already.
