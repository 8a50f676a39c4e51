"""Which process of a service listens on a port: the one that holds the lock on a file that all of them know."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from belvedere.asgi.server import one_of_several
from belvedere.locking import fcntl

_held: set[Path] = set()
"""What this process holds: another application of its own finds the port taken, not the claim."""


class Claim:
    """The right to listen on a port; returns true when called by the process that has it, or gets it now.

    The system gives the lock back whichever way the process ends, so that another one gets it then.

    Args:
        port: on which one process is to listen; a name of anything else that only one process is to do.
        folder: returns the folder that the processes of one service share, or `None` where nobody knows of others;
            then everybody may try, and the first one to listen wins.
    """

    def __init__(self, port: int | str, folder: Callable[[], Path | None] = lambda: None) -> None:
        self._port = port
        self._folder = folder
        self._path: Path | None = None
        self._file: int | None = None

    @property
    def certain(self) -> bool:
        """Whether the right to listen is this process' alone, so that nobody of the same service can be in its way."""
        return self._path is not None or not one_of_several()

    def __call__(self) -> bool:
        if self._path is not None:
            return True
        folder = self._folder()
        if folder is None or fcntl is None:
            return True
        path = folder / f"port-{self._port}"
        if path in _held:
            return True
        try:
            return self._lock(path)
        except OSError:
            # No place for a file, or a file system without locks: who listens first wins.
            return True

    def release(self) -> None:
        """Give the right back."""
        path, file = self._path, self._file
        self._path = self._file = None
        if path is None or file is None:
            return
        _held.discard(path)
        try:
            path.unlink(missing_ok=True)
        except OSError:
            pass
        os.close(file)

    def abandon(self) -> None:
        """Forget the lock in a process that was forked: it is the parent's, which keeps it by its own descriptor."""
        path, file = self._path, self._file
        self._path = self._file = None
        if path is not None and file is not None:
            _held.discard(path)
            os.close(file)

    def _lock(self, path: Path) -> bool:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it before may have removed the file meanwhile: then this lock keeps nobody out.
            locked = os.path.samestat(os.fstat(file), path.stat())
        except (BlockingIOError, FileNotFoundError):
            locked = False
        except OSError:
            os.close(file)
            raise
        if not locked:
            os.close(file)
            return False
        self._path, self._file = path, file
        _held.add(path)
        return True
