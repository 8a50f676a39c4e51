"""Which service this process is a worker of, and where its workers meet.

A process that a server started beside others is one of several workers: they have the same parent. uvicorn's, granian's
and hypercorn's are children that `multiprocessing` started; gunicorn's are forks of its arbiter. Those of a Celery
worker meet with the process that forked them, which says so. Any other process is alone, and puts nothing on disk.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from belvedere.asgi.server import one_of_several

_START_TIME = 19
"""Where /proc/PID/stat has the start time, counted from the state, its third field: proc(5), field 22."""


class Parent(NamedTuple):
    """The process that started the workers; with its start time, as numbers of processes come again."""

    pid: int
    started: str
    visible: bool = True
    """Whether it would be seen from here; one of another container would not."""

    @property
    def alive(self) -> bool:
        # Without a start time it had ended already when its workers looked.
        return self.started != "" and _started(self.pid) == self.started


_lead: Parent | None = None


def lead(pid: int | None) -> None:
    """Have this process meet with that one and those below it; `None`: with those that a server started, if any."""
    global _lead
    _lead = None if pid is None else Parent(pid, _started(pid))


def parent() -> Parent | None:
    """Return the process whose other children are workers of the same service; `None` where there can be none."""
    if _lead is not None:
        return _lead
    if not one_of_several():
        return None
    by_multiprocessing = multiprocessing.parent_process()
    pid = by_multiprocessing.pid if by_multiprocessing is not None else None
    pid = os.getppid() if pid is None else pid
    return Parent(pid, _started(pid))


def folder_name(of: Parent, service: str, routes: Iterable[object]) -> str:
    """Return the name of the folder in which the workers of one service meet.

    One parent may run two services, as a script does that starts a process for each: name and routes tell them apart.
    """
    told = hashlib.sha256(repr((service, sorted(map(repr, routes)))).encode()).hexdigest()
    return f"{of.pid}-{of.started}-{_namespace()}-{told[:12]}"


def parent_of(folder: str) -> Parent | None:
    """Return the parent that a folder's name tells; `None` for one that is not ours."""
    parts = folder.split("-")
    if len(parts) != 4 or not parts[0].isdigit():
        return None
    return Parent(int(parts[0]), parts[1], visible=parts[2] == _namespace())


def places(name: str) -> Iterator[Path]:
    """Yield the folders that may hold a service's, each made when its turn comes; only this user can look into them.

    First the one that has it, if there is one, then the fastest. None on Windows, where no lock ends with its process:
    nobody could tell the living from the dead.
    """
    if not hasattr(os, "geteuid"):
        return
    found = []
    for base in (_shared_memory, tempfile.gettempdir):
        with suppress(OSError):  # Not even a temporary folder is there, if all of them are read-only.
            found.append(Path(base()) / f"belvedere-{os.geteuid()}")
    # Where siblings are, if there are any: the first one may have found no room elsewhere.
    for place in sorted(found, key=lambda place: not os.access(place / name, os.F_OK)):
        try:
            usable = place.parent.is_dir() and private(place)
        except OSError:
            continue
        if usable:
            yield place


def _shared_memory() -> str:
    return "/dev/shm"  # noqa: S108 - the folder in it is checked to be this user's alone


def private(place: Path) -> bool:
    """Make a folder if it is not there; return whether it is this user's alone.

    Raises:
        OSError: it cannot be made.
    """
    place.mkdir(mode=0o700, exist_ok=True)
    found = place.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077


def _started(pid: int) -> str:
    """Return when a process started: "unknown" where that cannot be told, "" where there is no such process."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return "unknown" if _exists(pid) else ""
    # The second field is the program's name in parentheses, which may hold anything.
    state = told.rpartition(")")[2].split()
    return "" if state[0] == "Z" else state[_START_TIME]


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _namespace() -> str:
    """Return what tells containers apart that share a file system: in each, processes are numbered anew."""
    try:
        return str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        return "0"
