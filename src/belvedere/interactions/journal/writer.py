"""Where a worker writes to: the last segment of its trail, found again after whatever took it away."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final
from zlib import crc32

from belvedere import locking
from belvedere.interactions.journal import folder as folders
from belvedere.interactions.journal.frames import HEAD, LARGEST, MAGIC, pack
from belvedere.interactions.journal.segment import Segment
from belvedere.interactions.journal.trail import Trail

RETRY: Final = 5.0
"""Seconds between two attempts to write to files again."""
LOOK: Final = 1.0
"""Seconds between two looks at whether the files still have their names."""
_FULL: Final = {errno.ENOSPC, errno.EDQUOT}

_sync = getattr(os, "fdatasync", os.fsync)


class Writer:
    """Writes frames to files of this worker; its methods are called by one thread at a time, and do not raise.

    Args:
        folder: of the files; `None`: there is none.
        trails: of this process; that of this worker is added.
        dropped: where events are counted that cannot be read.
        fsync: have the disk confirm each write.
        segment_bytes: after which a new file is begun.
        room: tells how many bytes there may be more.

    Attributes:
        segment: what is written to; `None`: there is no file now.
        stop: up to where it may be written to without asking for room.
        looked: when the names were looked at last.
        due: when they are to be looked at again.
        why: the folder, or why there is no file.
    """

    def __init__(
        self,
        folder: Path | None,
        trails: list[Trail],
        dropped: Counter[str],
        *,
        fsync: bool,
        segment_bytes: int,
        room: Callable[[], int],
    ) -> None:
        self.segment: Segment | None = None
        self.trail: Trail | None = None
        self.stop = 0
        self.looked = self.due = self._tried = float("-inf")
        self.why = "not open"
        self._folder = folder
        self._trails = trails
        self._dropped = dropped
        self._fsync = fsync
        # So that what `put` finds room for is not too large.
        self._segment_bytes = min(segment_bytes, LARGEST)
        self._room = room
        self._descriptor = -1
        self._resting: Segment | None = None

    def put(self, payload: bytes, now: float) -> bool:
        """Write one event where nothing has to be looked after before; `False`: it is not written.

        What `frame`, `fits` and `write` do, in one: each request waits for it.
        """
        segment = self.segment
        if segment is None or not self.looked <= now < self.due:
            return False
        begin, length = segment.end, len(payload)
        end = begin + HEAD + length
        if end > self.stop:
            return False
        data = pack(MAGIC, length, crc32(payload, segment.salt ^ length), now) + payload
        try:
            # At a place, so that nothing is left between two frames whatever interrupts this.
            written = os.pwrite(self._descriptor, data, begin)
            if begin + written < end:
                self._write_rest(data[written:], begin + written)
            if self._fsync:
                _sync(self._descriptor)
        except OSError as error:
            self._fail(error, now)
            return False
        segment.end = end
        segment.count += 1
        return True

    def write(self, data: bytes, count: int, now: float) -> bool:
        """Write whole frames of so many events; `False`: they are not written, and there is no file any more."""
        segment = self.segment
        if segment is None:
            return False
        try:
            written = os.pwrite(self._descriptor, data, segment.end)
            if written < len(data):
                self._write_rest(data[written:], segment.end + written)
            if self._fsync:
                _sync(self._descriptor)
        except OSError as error:
            self._fail(error, now)
            return False
        segment.end += len(data)
        segment.count += count
        return True

    def fits(self, size: int, now: float) -> bool:
        """Make room for so many bytes, in a new file if need be; `False`: the journal is full."""
        segment, trail = self.segment, self.trail
        if segment is None or trail is None:
            return True
        if segment.end + size <= self.stop:
            return True
        room = self._room()
        if size > room:
            return False
        if segment.count and segment.end + size > self._segment_bytes:
            try:
                segment = self._add(trail, now)
            except OSError:
                # Too many open files, perhaps: this one still works, or its next write tells.
                self.stop = segment.end + size
                return True
            self._use(segment)
        self.stop = max(min(self._segment_bytes, segment.end + room), segment.end + size)
        return True

    def lie_in(self, folder: Path) -> None:
        """Begin in another folder; nothing is open."""
        self._folder = folder

    def ready(self, now: float, *, at_once: bool = False) -> None:
        """See to it that there is a file: look whether it has its name, try to have one again.

        Only if it is time to, or `at_once`.
        """
        if self.segment is None:
            if at_once or not 0 <= now - self._tried < RETRY:
                self._begin(now)
        elif not self.looked <= now < self.due:
            self.look(now)

    def look(self, now: float) -> None:
        """Begin new files if those that there are have lost their names."""
        self.looked, self.due = now, now + LOOK
        if self.trail is not None and not self.trail.there:
            self._begin(now)

    def leave(self, why: str) -> None:
        """Write no more."""
        self.segment = self._resting = self.trail = None
        self.stop, self._descriptor = 0, -1
        self.looked = self.due = self._tried = float("-inf")
        self.why = why

    def _begin(self, now: float) -> None:
        self._tried = self.looked = now
        self.due = now + LOOK
        folder = self._folder
        if folder is None or not locking.available:
            self.why = "no folder was given" if folder is None else "this system has no locks that end with a process"
            return
        if self.trail is not None and not self.trail.there:
            # What was not delivered can be read as long as this process lives.
            self.trail.keep()
            self.trail.seal()
            self.segment = self._resting = self.trail = None
        try:
            folders.make(folder)
            if self.trail is None:
                self.trail = Trail.begin(folder, self._dropped)
                self._trails.append(self.trail)
            self._use(self._resting or self._add(self.trail, now))
        except OSError as error:
            self.segment = None
            self.why = _reason(error, folder)
        else:
            self.why = str(folder)

    def _add(self, trail: Trail, now: float) -> Segment:
        segment = trail.add(now)
        if self._fsync and self._folder is not None:
            folders.sync(self._folder)
        return segment

    def _use(self, segment: Segment) -> None:
        self._resting = None
        self._descriptor = segment.writer
        self.stop = 0
        self.segment = segment

    def _write_rest(self, data: bytes, at: int) -> None:
        """Write what one write has left, or find out why it did not write it."""
        while data:
            written = os.pwrite(self._descriptor, data, at)
            if not written:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            at += written
            data = data[written:]

    def _fail(self, error: OSError, now: float) -> None:
        """Have no file for a while."""
        segment, self.segment = self.segment, None
        self._tried = now
        self.why = _reason(error, self._folder)
        if segment is None:
            return
        try:
            os.ftruncate(self._descriptor, segment.end)
        except OSError:
            pass  # What is torn is known for it.
        if error.errno in _FULL:
            self._resting = segment
        elif self.trail is not None:
            self.trail.seal()


def _reason(error: OSError, folder: Path | None) -> str:
    return f"{error.strerror or error}: {folder}"
