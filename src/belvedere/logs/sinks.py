"""The ways in which bytes get out: what blocks and never makes anyone wait, and what must not be waited for."""

from __future__ import annotations

import os
import select
import time
from collections import deque
from typing import Any, Final, Protocol

PIECE: Final = 4_096
"""Bytes of one write: what a pipe takes whole, so that lines of several processes never mix (PIPE_BUF, pipe(7))."""
BACKLOG: Final = 1_048_576
"""Bytes that are kept for a reader who does not read."""
PAUSE: Final = 0.01
"""Seconds after which a pipe that is crowded is looked at again: nothing tells when it is less so."""


class CrowdedError(BlockingIOError):
    """There is room, but not for this line, or it is a sibling's turn."""


class Sink(Protocol):
    """Takes lines and says how many it had to drop; never raises."""

    blocked: bool
    crowded: bool
    """Blocked by others who write: not the reader, but a moment has to be waited for."""
    broken: bool
    descriptor: int | None

    def write(self, lines: list[bytes]) -> int: ...

    def wait(self, seconds: float) -> int:
        """Try for so long to write what is kept."""

    def close(self) -> int: ...

    def forget(self) -> None: ...


class _Immediate:
    """Writes what it is given, and keeps nothing."""

    def __init__(self) -> None:
        self.blocked = self.crowded = False
        self.broken = False
        self.descriptor: int | None = None

    def wait(self, seconds: float) -> int:
        return 0

    def close(self) -> int:
        return 0

    def forget(self) -> None:
        pass


class Text(_Immediate):
    """`sys.stdout` when somebody replaced it: pytest, a notebook, a test that captures output."""

    def __init__(self, stream: Any) -> None:
        super().__init__()
        self._stream = stream

    def write(self, lines: list[bytes]) -> int:
        stream = self._stream
        text = b"".join(lines).decode("utf-8", "replace")
        try:
            try:
                stream.write(text)
            except UnicodeEncodeError:
                stream.write(text.encode("ascii", "backslashreplace").decode("ascii"))
            stream.flush()
        except Exception:  # a replacement may raise anything, and may be `None`
            self.broken = True
            return len(lines)
        self.broken = False
        return 0


class Blocking(_Immediate):
    """A regular file: writing there takes as long as it takes, and nobody reads at the other end."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._begun = b""
        """What is missing of a line that is out in part: it is finished before anything else."""

    def write(self, lines: list[bytes]) -> int:
        data = b"".join((self._begun, *lines))
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._put(rest) :]
        except OSError:
            # Closed, a full disk, a terminal that is gone.
            self.broken = True
            return min(len(lines), self._lost(data, len(data) - len(rest)))
        self.broken = False
        self._begun = b""
        return 0

    def _lost(self, data: bytes, taken: int) -> int:
        """Keep the rest of a line of which a part was taken; return how many lines are lost."""
        if taken >= len(self._begun):
            end = data.find(b"\n", taken) + 1
            self._begun = data[taken:end] if taken and data[taken - 1 : taken] != b"\n" else b""
        else:
            self._begun = self._begun[taken:]
        return data.count(b"\n", taken + len(self._begun))

    def _put(self, data: memoryview) -> int:
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:
            # A parent made the terminal non-blocking.
            _writable(self._descriptor, 1.0)
            return os.write(self._descriptor, data)


class NonBlocking:
    """A terminal or a pipe by a description of our own that does not block.

    Lines are put together into pieces which a pipe takes whole or not at all; a longer line may be taken in part,
    and its rest then goes first. What the reader does not take is kept up to `limit` bytes, beyond which the newest
    lines are dropped, or, with `block`, waited for.
    """

    def __init__(self, descriptor: int, *, block: bool, limit: int = BACKLOG, owned: bool = False) -> None:
        self.descriptor: int | None = descriptor
        self.blocked = self.crowded = False
        self.broken = False
        self._descriptor = descriptor
        self._block = block
        self._limit = limit
        self._owned = owned
        self._kept: deque[bytes] = deque()
        self._size = 0
        self._piece: memoryview | bytes = b""
        self._in_piece = 0

    def write(self, lines: list[bytes]) -> int:
        size = sum(map(len, lines))
        if size <= PIECE and not self._kept and not self._piece:
            # Nearly always: nothing waits, all of it fits into one piece, and the pipe takes it.
            return self._write_piece(b"".join(lines), lines)
        self._kept.extend(lines)
        self._size += size
        dropped = self._drain()
        while self._size > self._limit:
            self._size -= len(self._kept.pop())
            dropped += 1
        return dropped

    def _write_piece(self, piece: bytes, lines: list[bytes]) -> int:
        try:
            taken = self._put(piece)
        except OSError:
            taken = 0  # Trying once more tells why.
        if taken == len(piece):
            self.blocked = self.crowded = self.broken = False
            return 0
        self._piece = memoryview(piece)[taken:]
        self._in_piece = len(lines)
        return self._drain()

    def wait(self, seconds: float) -> int:
        dropped = 0
        end = time.monotonic() + seconds
        while self.blocked and (left := end - time.monotonic()) > 0:
            if self.crowded:
                time.sleep(min(left, PAUSE))
            else:
                _writable(self._descriptor, left)
            dropped += self._drain()
        return dropped

    def close(self) -> int:
        lost = len(self._kept) + self._in_piece
        self._clear()
        self._give_back()
        return lost

    def forget(self) -> None:
        NonBlocking._clear(self)

    def _clear(self) -> None:
        self._kept.clear()
        self._size = self._in_piece = 0
        self._piece = b""
        self.blocked = self.crowded = False

    def _give_back(self) -> None:
        if self._owned:
            os.close(self._descriptor)
            self._owned = False

    def _drain(self) -> int:
        """Write what is kept as far as the reader takes it; return how many lines nobody will ever read."""
        while self._piece or self._kept:
            if not self._piece:
                self._piece = memoryview(self._next())
            try:
                self._piece = self._piece[self._put_kept(self._piece) :]
            except BlockingIOError as error:
                # Where it is full, it tells itself when there is room again.
                self.crowded = isinstance(error, CrowdedError) and bool(_writable(self._descriptor, 0.0))
                if not self._block:
                    self.blocked = True
                    return 0
                if self.crowded:
                    time.sleep(PAUSE)
                else:
                    _writable(self._descriptor, None)
            except OSError:
                # The reader has gone for good.
                self.broken = True
                lost = len(self._kept) + self._in_piece
                self._clear()
                return lost
        self._in_piece = 0
        self.blocked = self.crowded = self.broken = False
        return 0

    def _next(self) -> bytes:
        """Return the next lines that fit into one piece, or a single longer one."""
        taken = [self._kept.popleft()]
        size = len(taken[0])
        while self._kept and size + len(self._kept[0]) <= PIECE:
            size += len(self._kept[0])
            taken.append(self._kept.popleft())
        self._size -= size
        self._in_piece = len(taken)
        return b"".join(taken)

    def _put(self, data: memoryview | bytes) -> int:
        return os.write(self._descriptor, data)

    def _put_kept(self, data: memoryview | bytes) -> int:
        """Write something that is not alone."""
        return self._put(data)


class Polled(NonBlocking):
    """A descriptor that would block, such as a socket's: asked for room first, and given no more than a piece."""

    available = hasattr(select, "poll")

    def _put(self, data: memoryview | bytes) -> int:
        if not _writable(self._descriptor, 0.0):
            raise BlockingIOError
        return os.write(self._descriptor, data[:PIECE])


def _writable(descriptor: int, seconds: float | None) -> Any:
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return poll.poll(None if seconds is None else seconds * 1000)
