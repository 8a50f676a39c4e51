"""A file of events, written by one worker from its beginning to its end, and removed when all of it is delivered."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple

from belvedere.interactions.journal import frames
from belvedere.interactions.journal.life import named

SUFFIX: Final = ".events"
_MAGIC: Final = b"BVJOUR\x00\x01"
_START: Final = Struct("<8sdI")
START: Final = _START.size
"""Where the first event begins."""
_UNKNOWN: Final = 0xFFFFFFFF
_COUNT_AT: Final = START - 4
_NOFOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)
_CHUNK: Final = 1 << 20
_PAGE: Final = 4096


class Piece(NamedTuple):
    """Events that were read.

    Attributes:
        payloads: the events.
        first: when the first was written.
        end: up to where the file has been read.
        lost: reasons, one for each stretch that could not be read.
    """

    payloads: list[bytes]
    first: float
    end: int
    lost: list[str]


class Segment:
    """A file of events.

    `end` and then `count` are told after what they count is written: another thread may read up to there at any time.
    `events_read`, `events_out` and `events_before` tell how many of the events were taken, how many are delivered, and
    how many of those are before any that is not.

    Args:
        path: of the file.
        number: in the order of its worker's.
        salt: of its worker's frames.
    """

    def __init__(self, path: Path, number: int, salt: int) -> None:
        self.path = path
        self.number = number
        self.salt = salt
        self.end = START
        self.count = 0
        self.sealed = False
        self.events_read = 0
        self.events_out = 0
        self.events_before = 0
        self._writer = -1
        self._reader = -1
        self._kept = False

    def begin(self, now: float) -> int:
        """Make the file; return the descriptor to write frames to.

        Raises:
            OSError: there is no right or no room to.
        """
        self._writer = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NOFOLLOW, 0o600)
        start = _START.pack(_MAGIC, now, _UNKNOWN)
        try:
            if os.write(self._writer, start) < START:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        except OSError:
            self.close()
            self.path.unlink(missing_ok=True)
            raise
        return self._writer

    def find(self, start: int, before: int) -> None:
        """Learn what is in the file of a dead worker.

        Args:
            start: where to count from, if the worker did not come to tell how many events there are.
            before: how many events there are before that.

        Raises:
            OSError: it cannot be read.
        """
        reader = self._open()
        try:
            self._find(reader, start, before)
        finally:
            self.rest()

    def read(self, start: int, stop: int, limit: int, size: int) -> Piece:
        """Read whole events.

        Args:
            start: where an event begins.
            stop: up to where events have been written.
            limit: how many at most.
            size: how many bytes at most, but for the first event.

        Raises:
            OSError: it cannot be read.
        """
        reader = self._open()
        # No more than so many events are likely to take.
        likely = limit * (self.end // max(1, self.count)) + _PAGE
        at, wanted, lost_now = start, max(min(size, likely), frames.HEAD), False
        lost: list[str] = []
        while at < stop:
            data = os.pread(reader, min(wanted, stop - at), at)
            if not data:
                # Shorter than it was: somebody has cut it.
                return Piece([], 0.0, stop, [*lost, "torn"])
            found = frames.parse(data, self.salt, limit, last=at + len(data) >= stop, lost_before=lost_now)
            at += found.end
            lost += found.lost
            lost_now = found.lost_now
            if found.payloads:
                return Piece(found.payloads, found.first, at, lost)
            wanted = max(wanted, found.needed)
        return Piece([], 0.0, stop, lost)

    def written_at(self, at: int) -> float | None:
        """Return when the event at a place was written; `None`: it cannot be told."""
        try:
            return frames.written_at(os.pread(self._open(), frames.HEAD, at))
        except OSError:
            return None

    def seal(self) -> None:
        """Write no more; tell how many events there are."""
        if self._writer >= 0:
            try:
                os.pwrite(self._writer, self.count.to_bytes(4, "little"), _COUNT_AT)
            except OSError:
                pass  # They will be counted.
            writer, self._writer = self._writer, -1
            os.close(writer)
        self.sealed = True

    def keep(self) -> None:
        """Have the file open for reading, as it has lost its name."""
        if self._writer >= 0:
            self._kept = True
            if self._reader < 0:
                self._reader = os.dup(self._writer)

    def rest(self) -> None:
        """Let go of what is open for reading, for now."""
        if not self._kept:
            reader, self._reader = self._reader, -1
            if reader >= 0:
                os.close(reader)

    def remove(self) -> None:
        self.close()
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        self._kept = False
        self.rest()
        writer, self._writer = self._writer, -1
        if writer >= 0:
            os.close(writer)

    @property
    def there(self) -> bool:
        """Whether the file that is written to still has its name."""
        return self._writer < 0 or named(self.path, self._writer)

    @property
    def writer(self) -> int:
        """The descriptor to write frames to; -1: nobody writes any more."""
        return self._writer

    def _open(self) -> int:
        if self._reader < 0:
            self._reader = os.open(self.path, os.O_RDONLY | _NOFOLLOW)
        return self._reader

    def _find(self, reader: int, at: int, before: int) -> None:
        self.end = max(START, os.fstat(reader).st_size)
        self.sealed = True
        told = os.pread(reader, START, 0)
        if len(told) == START:
            magic, _, count = _START.unpack(told)
            if magic == _MAGIC and count != _UNKNOWN:
                self.count = count
                return
        self.count = before
        while at < self.end:
            piece = self.read(at, self.end, _CHUNK, _CHUNK)
            self.count += len(piece.payloads)
            at = piece.end
