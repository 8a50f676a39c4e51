"""A worker's sign of life: a lock on a file, which the kernel takes away with the process.

The file holds how far the worker's events are delivered.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple
from zlib import crc32

from belvedere.interactions.journal import forks
from belvedere.locking import fcntl

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
        descriptor: opened for reading and writing.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        forks.follow(self)

    @classmethod
    def begin(cls, path: Path) -> Life:
        """Make the file of a new worker.

        Raises:
            OSError: there is no right or no room to, or it is not to be had.
        """
        for _ in range(3):
            life = cls(path, os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NOFOLLOW, 0o600))
            try:
                # Whoever finds it before it is locked takes its worker for dead, and removes it, as it is empty.
                if life._locked() and life.there:
                    life.write(Checkpoint(0, 0, 0))
                    return life
            except OSError:
                path.unlink(missing_ok=True)
                life.close()
                raise
            path.unlink(missing_ok=True)
            life.close()
        raise BlockingIOError(errno.EAGAIN, "somebody else has locked it", str(path))

    @classmethod
    def take(cls, path: Path) -> Life | None:
        """Take over the file of a worker that is dead; `None`: it lives, or somebody else has taken it.

        Raises:
            OSError: it cannot be looked at.
        """
        try:
            life = cls(path, os.open(path, os.O_RDWR | _NOFOLLOW))
        except FileNotFoundError:
            return None
        try:
            found = os.fstat(life._descriptor)
            ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()
            # Whoever had it before may have removed it.
            if ours and life._locked() and life.there:
                return life
        except OSError:
            life.close()
            raise
        life.close()
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

    def forked(self) -> None:
        """Leave it to the parent: a child that keeps it open would be its sign of life after the parent's end."""
        try:
            self.close()
        except OSError:
            pass  # The parent was about to close it.

    def _locked(self) -> bool:
        """Lock it, unless somebody else has."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def named(path: Path, descriptor: int) -> bool:
    """Whether an open file still has its name."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))  # noqa: PTH116 - half as long as Path.stat
    except OSError:
        return False
