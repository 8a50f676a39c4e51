"""Standard output as it is right now: a pipe, a file, a terminal, a socket, or what stands in for `sys.stdout`."""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from belvedere.logs.sinks import BACKLOG, Blocking, NonBlocking, Polled, Sink, Text

CHECK_EVERY: Final = 1.0
"""Seconds after which a descriptor is looked at again: a daemon may have put something else in its place."""


_NOTHING: Final = object()
_STDOUT: Final[Callable[[], Any]] = partial(getattr, sys, "stdout")


class Stdout:
    """Finds out how lines get to standard output without anyone waiting for its reader.

    `O_NONBLOCK` belongs to the open description, which parent and siblings share: it is never set on descriptor 1
    itself. A pipe or terminal is opened once more by way of `/proc`, which gives a description of our own.

    Args:
        block: wait for a slow reader instead of dropping lines.
        stream: returns what `sys.stdout` is now.
        descriptor: standard output's.
        limit: bytes that are kept for a slow reader.
    """

    def __init__(
        self,
        *,
        block: bool = False,
        stream: Callable[[], Any] = _STDOUT,
        descriptor: int = 1,
        limit: int = BACKLOG,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.dropped = 0
        self._block = block
        self.find_stream = stream
        self.worth_waiting: Any = _NOTHING
        """The stream that lines are collected for; whatever stands in for stdout gets each of them at once."""
        self._descriptor = descriptor
        self._limit = limit
        self._clock = clock
        self._stream: Any = self
        self._passed: Any = _NOTHING
        self._sink: Sink = Text(None)
        self._identity: tuple[int, int] | None = None
        self._checked = 0.0

    def write(self, lines: list[bytes]) -> bool:
        """Write lines, and whatever waited for the reader before them; return whether all of it is out.

        Lines that have to go are counted.
        """
        sink = self.sink()
        dropped = sink.write(lines)
        self.dropped += dropped
        return not dropped and not sink.blocked

    def wait(self, seconds: float) -> None:
        """Wait for the reader to take what is kept for it."""
        self.dropped += self._sink.wait(seconds)

    @property
    def at_once(self) -> bool:
        """Whether a line goes out at once, as what stands in for stdout wakes nobody and is looked at any moment."""
        self.sink()
        return self.worth_waiting is _NOTHING

    @property
    def replaced(self) -> bool:
        """Whether lines go to what stands in for stdout."""
        return isinstance(self._sink, Text)

    def pass_by(self) -> None:
        """Write past what stands in for stdout now, as it logs what is written to it, to the process's first one."""
        self._passed = self._stream
        self._stream = self  # The descriptor is looked at anew.

    @property
    def blocked(self) -> bool:
        """Whether lines are kept because nobody reads."""
        return self._sink.blocked

    @property
    def broken(self) -> bool:
        """Whether the last lines could not be written, and nothing says that others will be."""
        return self._sink.broken

    @property
    def crowded(self) -> bool:
        """Whether that is so because of others who write there, of which no descriptor tells."""
        return self._sink.crowded

    @property
    def watched(self) -> int | None:
        """The descriptor that becomes writable when the reader reads again."""
        return self._sink.descriptor

    def close(self) -> None:
        """Give our own description back; what is kept for the reader is lost, and counted."""
        self.dropped += self._sink.close()
        self._stream = self
        self.worth_waiting = _NOTHING

    def forget(self) -> None:
        """Forget what is kept: in a forked child, it is the parent's."""
        self._sink.forget()
        self._stream = self  # The descriptor is looked at anew.

    def sink(self) -> Sink:
        stream = self.find_stream()
        if stream is not self._stream or (self._identity is not None and self._moved()):
            self.dropped += self._sink.close()
            self._stream = stream
            self._sink = self._find(stream)
            self.worth_waiting = _NOTHING if isinstance(self._sink, Text) else stream
        return self._sink

    def _moved(self) -> bool:
        now = self._clock()
        if now - self._checked < CHECK_EVERY:
            return False
        self._checked = now
        return _identity(self._descriptor) != self._identity

    def _find(self, stream: Any) -> Sink:
        self._checked = self._clock()
        self._identity = None
        if stream is self._passed:
            # Anything but the descriptor itself may come round to us again.
            stream = sys.__stdout__ if _descriptor(sys.__stdout__) == self._descriptor else None
        if _descriptor(stream) != self._descriptor:
            return Text(stream)
        self._identity = _identity(self._descriptor)
        try:
            mode = os.fstat(self._descriptor).st_mode
        except OSError:
            return Blocking(self._descriptor)
        pipe = stat.S_ISFIFO(mode)
        if pipe or os.isatty(self._descriptor):
            own = _reopened(self._descriptor)
            if own is not None and pipe:
                from belvedere.logs.pipe import Pipe  # Where there is /proc, there is what this needs of Linux.

                return Pipe(own, block=self._block, limit=self._limit)
            if own is not None:
                return NonBlocking(own, block=self._block, limit=self._limit, owned=True)
        if stat.S_ISSOCK(mode) and sys.platform == "linux":
            from belvedere.logs.stream_socket import StreamSocket

            return StreamSocket(self._descriptor, block=self._block, limit=self._limit)
        if (pipe or stat.S_ISSOCK(mode)) and Polled.available:
            return Polled(self._descriptor, block=self._block, limit=self._limit)
        return Blocking(self._descriptor)


def _descriptor(stream: Any) -> int | None:
    try:
        return int(stream.fileno())
    except Exception:  # a replacement may be anything, `None` included
        return None


def _identity(descriptor: int) -> tuple[int, int] | None:
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _reopened(descriptor: int) -> int | None:
    """Return a description of our own, one that does not block; `None` where there is no such thing."""
    try:
        return os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return None
