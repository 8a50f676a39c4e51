"""Files of values as siblings read them: those of a worker, and those of all that are gone, folded into one."""

from __future__ import annotations

import mmap
import os
from array import array
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from belvedere.locking import fcntl
from belvedere.metrics.workers.segment import VALUE, Record, lines, parse

Exemplars = list[tuple[int, dict[str, str], float, float]]
"""Cell, labels, value, Unix time in seconds."""


class Keys:
    """A file of keys, read on from where it was left."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def news(self, until: int | None = None) -> list[Record]:
        """Return the records that were added since the last call; at most up to so many bytes of the file."""
        try:
            end = self._path.stat().st_size if until is None else until
        except FileNotFoundError:
            return []
        if self._read >= end:
            return []
        with self._path.open("rb") as file:
            file.seek(self._read)
            added = file.read(end - self._read)
        # What a worker that was killed left half written has no end of line.
        added = added[: added.rfind(b"\n") + 1]
        self._read += len(added)
        records = []
        for line in added.splitlines():
            with suppress(ValueError):
                records.append(parse(line))
        return records


class WorkerFiles:
    """The files of one worker.

    Raises:
        OSError: they are gone.
    """

    dead = False

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.pid = name.partition("-")[0]
        self._folder = folder
        self.keys_path = folder / f"{name}.keys"
        self._descriptor = os.open(folder / f"{name}.values", os.O_RDONLY)
        self._view: Any = memoryview(b"").cast("d")
        self._size = 0
        self._exemplars: Exemplars = []
        self._exemplars_of: tuple[int, int] | None = None

    @property
    def alive(self) -> bool:
        """Whether the worker still holds the lock that it took at its start."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        return False

    def values(self) -> list[float]:
        """Return the values of all cells."""
        size = os.fstat(self._descriptor).st_size
        if size != self._size:
            mapped = mmap.mmap(self._descriptor, size, prot=mmap.PROT_READ)
            self._view, self._size = memoryview(mapped).cast("d"), size
        values: list[float] = self._view.tolist()
        return values

    def exemplars(self) -> Exemplars:
        """Return what the worker published last."""
        path = self._folder / f"{self.name}.exemplars"
        try:
            found = path.stat()
            # Two may be of one tick of the file system's clock: another file has another number.
            published = (found.st_ino, found.st_mtime_ns)
            if published != self._exemplars_of:
                self._exemplars = parse(path.read_bytes())
                self._exemplars_of = published
        except (OSError, ValueError):
            pass
        return self._exemplars

    def close(self) -> None:
        os.close(self._descriptor)


class RetiredFiles:
    """What workers that are gone have counted, added up.

    `retired` is replaced as a whole: a line of JSON with the names of the workers in it and the length of
    `retired.keys` that belongs to it, then the values. A process that is killed meanwhile leaves the one before.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "retired"
        self.keys_path = folder / "retired.keys"
        self._identity: tuple[int, int, int] | None = None
        self._workers: list[str] = []
        self._keys_end = 0
        self._values: array[float] = array("d")

    @property
    def workers(self) -> list[str]:
        """Names of those in it whose files may still be there."""
        self._load()
        return self._workers

    @property
    def keys_end(self) -> int:
        """Bytes of the file of keys that count."""
        self._load()
        return self._keys_end

    def values(self) -> list[float]:
        self._load()
        return self._values.tolist()

    def write(self, values: list[float], added: list[Record], workers: list[str]) -> None:
        """Replace the values, with records for those that are new.

        Raises:
            OSError: there is no room; all is as it was.
        """
        self._load()
        with self.keys_path.open("ab") as keys:
            # What somebody wrote who was killed before the values were there.
            keys.truncate(self._keys_end)
            keys.write(lines(added))
            keys.flush()
            end = os.fstat(keys.fileno()).st_size
        begun = self._path.with_name(".retired")
        begun.write_bytes(orjson.dumps([workers, end], option=orjson.OPT_APPEND_NEWLINE) + array("d", values).tobytes())
        begun.replace(self._path)
        self._identity = None

    def _load(self) -> None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return
        identity = (found.st_ino, found.st_mtime_ns, found.st_size)
        if identity == self._identity:
            return
        head, _, values = self._path.read_bytes().partition(b"\n")
        self._workers, self._keys_end = orjson.loads(head)
        self._values = array("d")
        self._values.frombytes(values[: len(values) // VALUE * VALUE])
        self._identity = identity
