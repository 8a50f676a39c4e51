"""One worker's values in a file that its siblings read: doubles in mapped memory, beside an append-only file of keys.

Counting stays what it is, `cells[i] += 1.0`, as the cells are views of the mapped memory; a worker that is killed
leaves them as they were. A lock on the file is the sign of life: the kernel takes it away with the process.
"""

from __future__ import annotations

import errno
import json
import mmap
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import orjson

from belvedere.locking import fcntl

CHUNK: Final = 1 << 16
"""Bytes that a file grows by: 8,192 values; a multiple of every page size there is."""
VALUE: Final = 8
"""Bytes of a double."""

Record = list[Any]
"""A line of the file of keys; the first item tells its kind: see `belvedere.metrics.workers.records`."""


def lines(records: Iterable[Record]) -> bytes:
    """Return records as the lines of a file."""
    return b"".join([_line(record) for record in records])


def parse(line: bytes) -> Record:
    """Return the record of a line.

    Raises:
        ValueError: it is none.
    """
    try:
        record: Record = orjson.loads(line)
    except orjson.JSONDecodeError:
        record = json.loads(line)
    return record


def _line(record: Record) -> bytes:
    try:
        return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
    except orjson.JSONEncodeError:
        # Half a surrogate pair in a label's value, or a text of a class of somebody's own.
        return f"{json.dumps(record)}\n".encode()


class Chunk:
    """A piece of the file in memory. `view` is exchanged for a list when the values leave the file."""

    __slots__ = ("view",)

    def __init__(self, view: Any) -> None:
        self.view: Any = view


class Segment:
    """The values of this process; its methods are called by one thread at a time.

    Args:
        folder: where the workers of the service meet.
        name: unlike any other's, ever.

    Raises:
        OSError: there is no room, or no right to write.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.values_path = folder / f"{name}.values"
        self.keys_path = folder / f"{name}.keys"
        self.chunks: list[Chunk] = []
        self._used = 0
        self._size = 0
        self._keys = os.open(self.keys_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        hidden = folder / f".{name}"
        try:
            self._values = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            # Opened for that alone: memory that a child inherits mapped would hold the lock as long as the child lives.
            self._life = os.open(hidden, os.O_RDONLY)
            fcntl.flock(self._life, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Locked before anybody can see it: nobody takes it for a dead worker's.
            hidden.rename(self.values_path)
        except OSError:
            self.keys_path.unlink()
            hidden.unlink(missing_ok=True)
            raise

    def allocate(self, cells: int) -> tuple[int, Chunk, int]:
        """Return the place of as many new cells, all 0.0: the first one's number, its chunk, and its place in that.

        Raises:
            OSError: there is no room.
        """
        room = (self._size - self._used * VALUE) // VALUE
        if cells > room:
            self._grow(cells)
            self._used += room
        at = self._used
        self._used += cells
        chunk_cells = CHUNK // VALUE
        return at, self.chunks[at // chunk_cells], at % chunk_cells

    def reserve(self) -> None:
        """Take the first room, before anything counts on it.

        Raises:
            OSError: there is none.
        """
        self._grow(1)

    def tell(self, *records: Record) -> None:
        """Append records to the file of keys, in one write: a reader sees whole lines or none.

        Raises:
            OSError: there is no room.
        """
        text = lines(records)
        written = os.write(self._keys, text)
        if written < len(text):
            os.ftruncate(self._keys, os.fstat(self._keys).st_size - written)
            raise OSError(errno.ENOSPC, "no room for a key", str(self.keys_path))

    def values(self) -> list[float]:
        """Return the values of all cells, in order."""
        values: list[float] = []
        for chunk in self.chunks:
            values += chunk.view
        return values

    def leave(self) -> None:
        """Take the values out of the file, into memory of this process alone; they can be counted on."""
        for chunk in self.chunks:
            chunk.view = list(chunk.view)

    @property
    def closed(self) -> bool:
        return self._keys < 0

    def close(self) -> None:
        """Let go of the files; of the sign of life too, unless another process has inherited it."""
        for descriptor in (self._keys, self._values, self._life):
            if descriptor >= 0:
                os.close(descriptor)
        self._keys = self._values = self._life = -1

    def _grow(self, cells: int) -> None:
        if cells * VALUE > CHUNK:
            raise OSError(f"{cells} cells do not fit into a chunk")
        # Room is taken now: writing to mapped memory that the file system has no room for would end the process.
        if sys.platform == "linux":
            os.posix_fallocate(self._values, self._size, CHUNK)
        else:
            os.ftruncate(self._values, self._size + CHUNK)
        mapped = mmap.mmap(self._values, CHUNK, offset=self._size)
        self.chunks.append(Chunk(memoryview(mapped).cast("d")))
        self._size += CHUNK
