"""The folder that the journals of a service's workers lie in."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


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


def sync(folder: Path) -> None:
    """Have the disk confirm which files there are.

    Raises:
        OSError: it does not.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
