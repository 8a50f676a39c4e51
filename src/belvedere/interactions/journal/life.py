"""A worker's sign of life: a lock on a file, which the kernel takes away with the process.

The file holds how far the worker's events are delivered.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple
from zlib import crc32

from belvedere.interactions.journal.locking import fcntl

SUFFIX: Final = ".life"
_CHECKPOINT: Final = Struct("<QQQI")
_NOFOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)


class Checkpoint(NamedTuple):
    """Up to where all is delivered: the number of a segment, a place in it, and how many of its events that are."""

    segment: int
    at: int
    events: int


class Life:
    """The file of a worker that this process has locked.

    Args:
        path: of the file.
        descriptor: opened for reading and writing, and locked.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    @classmethod
    def begin(cls, path: Path) -> Life:
        """Make the file of a new worker.

        Raises:
            OSError: there is no right or no room to, or it is not to be had.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NOFOLLOW, 0o600)
        try:
            # Whoever finds it before it is locked takes its worker for dead, and removes it: it is empty.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.fstat(descriptor).st_nlink:
                raise FileNotFoundError(f"{path} was removed")
            life = cls(path, descriptor)
            life.write(Checkpoint(0, 0, 0))
        except OSError:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise
        return life

    @classmethod
    def take(cls, path: Path) -> Life | None:
        """Take over the file of a worker that is dead; `None`: it lives, or somebody else has taken it.

        Raises:
            OSError: it cannot be looked at.
        """
        try:
            descriptor = os.open(path, os.O_RDWR | _NOFOLLOW)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = os.fstat(descriptor)
            if found.st_nlink and stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid():
                return cls(path, descriptor)
        except BlockingIOError:
            pass
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return None

    @property
    def there(self) -> bool:
        """Whether the file still has its name."""
        return named(self.path, self._descriptor)

    def read(self) -> Checkpoint:
        """Return up to where all is delivered: the beginning, if the file does not tell."""
        try:
            data = os.pread(self._descriptor, _CHECKPOINT.size, 0)
        except OSError:
            data = b""
        if len(data) == _CHECKPOINT.size:
            segment, at, events, checksum = _CHECKPOINT.unpack(data)
            if checksum == crc32(data[:-4]):
                return Checkpoint(segment, at, events)
        return Checkpoint(0, 0, 0)

    def write(self, checkpoint: Checkpoint) -> None:
        """Note up to where all is delivered, in place and with one write: it is whole even when the process is killed.

        Raises:
            OSError: it cannot be written.
        """
        data = _CHECKPOINT.pack(*checkpoint, 0)[:-4]
        os.pwrite(self._descriptor, data + crc32(data).to_bytes(4, "little"), 0)

    def remove(self) -> None:
        """Take the file away: there is nothing left of its worker. It stays locked until `close`."""
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of it; if nobody else has it, its worker is dead now."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def named(path: Path, descriptor: int) -> bool:
    """Whether an open file still has its name."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))  # noqa: PTH116 - half as long as Path.stat
    except OSError:
        return False
