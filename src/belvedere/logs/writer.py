"""Collects lines and writes them when the event loop has come round and brings no more.

A write for each line costs a request more than everything else about it: the reader of the pipe is woken each time
(`benchmarks/README.md`). So a line is appended to a list, which is written after three turns of the loop that brought
no other, after twelve in any case; ten milliseconds later once there are four lines, or were the last time, as a worker
that goes round and round keeps its siblings from the processor; when it has grown to 16 KiB; at once for errors, where
no loop runs, where `sys.stdout` has been replaced and nobody is woken; and at exit. What is lost when the process is
killed are the lines of so long at most.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, Final

from belvedere import failures
from belvedere.logs.file import LogFile
from belvedere.logs.sinks import PAUSE
from belvedere.logs.stdout import Stdout

TURN_BYTES: Final = 16_384
"""Lines that have grown to this much do not wait for others."""
QUIET: Final = 3
"""Turns without another line after which those that wait are written."""
TURNS: Final = 12
"""Turns after which they are written in any case."""
BUSY: Final = 4
"""Lines that are collected in a service that is busy: waking their reader costs more than the time it waits."""
BUSY_SECONDS: Final = 0.01
"""Time that they then wait for others, by a timer: turns without work would cost as much as the lines."""
WAIT: Final = 1.0
"""Seconds that a last flush waits for a reader who does not read."""
UNMADE_BYTES: Final = 384
"""What a line that is not made yet counts for: a usual access line's length."""

Unmade = tuple[Any, ...]
"""A line that is made when it is written: first what has `make`, which is given all of it; then what it is made of."""

_running_loop = asyncio._get_running_loop
_identify = threading.get_ident
_writers: weakref.WeakSet[Writer] = weakref.WeakSet()


class Writer:
    """Writes lines to stdout, and to `file` as well; from any thread, and never raises."""

    def __init__(self, stdout: Stdout, file: LogFile | None = None) -> None:
        self.notice: Callable[[int], bytes] = lambda _: b""
        """Makes the line that tells how many others were dropped."""
        self._stdout = stdout
        self._file = file
        self.copies = file is not None
        self._lines: list[bytes | Unmade] = []
        self._copied: list[bytes] = []
        self._size = self._seen = self._turns = self._quiet = 0
        self._scheduled: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._busy = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watching: tuple[asyncio.AbstractEventLoop, int] | None = None
        self._retrying: asyncio.AbstractEventLoop | None = None
        self._told = 0
        self._inside: list[bytes | Unmade] = []
        self._lock = threading.Lock()
        self._owner = 0
        _writers.add(self)

    @property
    def dropped(self) -> int:
        """Lines so far that stdout did not get."""
        return self._stdout.dropped

    def write(self, line: bytes | Unmade, copy: bytes | None = None) -> None:
        """Take a line with its line end; `copy` is what the file gets instead.

        Lines made one after the other, when they are written, cost much less than each in the middle of its request,
        where nothing that it needs is in the processor's cache.
        """
        if self.copies:
            line = line if isinstance(line, bytes) else line[0].make(line)
            self._copied.append(line if copy is None else copy)
        self._lines.append(line)
        self._size += len(line) if isinstance(line, bytes) else UNMADE_BYTES
        scheduled = self._scheduled
        # Asking which loop runs is a system call for each line before Python 3.12.
        if scheduled is not None and self._thread == _identify() and scheduled.is_running():
            if self._size >= TURN_BYTES:
                self.flush()
            return
        loop = _running_loop()
        stdout = self._stdout
        if loop is None or (stdout.find_stream() is not stdout.worth_waiting and self._at_once()):
            self.flush()
            return
        busy = self._busy and self._loop is loop
        self._thread = _identify()
        self._scheduled = self._loop = loop
        if busy:
            loop.call_later(BUSY_SECONDS, self._due, loop)
            return
        self._seen = self._turns = self._quiet = 0
        loop.call_soon(self._turn, loop)

    def _at_once(self) -> bool:
        """Whether lines go out at once: what stdout is may have to be found out, which one thread alone does."""
        me = _identify()
        if self._owner == me:
            return True
        with self._lock:
            self._owner = me
            try:
                return self._stdout.at_once
            finally:
                self._owner = 0

    def flush(self, wait: float = 0.0) -> None:
        """Write what was collected, as far as it goes without waiting longer than `wait` seconds for a reader."""
        me = _identify()
        if self._owner == me:
            # A signal handler or a destructor logs while this very thread writes: it will find the line before it ends.
            # So does what stands in for `sys.stdout`, if it logs what is written to it.
            self._inside.extend(self._lines[-1:])
            return
        if wait:
            # Nearly always the end: what comes now may find the loop's last turns, and no timer.
            self._busy = False
            self._scheduled = None
        with self._lock:
            self._owner = me
            try:
                self._flush(wait)
            except Exception as error:  # whoever logs must not pay for a stream that fails
                failures.contain("logs", error)
            finally:
                self._owner = 0

    def close(self) -> None:
        """Write everything that can still be written, and give the descriptors back."""
        self.flush(WAIT)
        with self._lock:
            self._unwatch()
            self._stdout.close()
            if self._file is not None:
                self._file.close()
        _writers.discard(self)

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        collected = len(self._lines)
        if collected and self._scheduled is loop:
            if collected >= BUSY:
                loop.call_later(BUSY_SECONDS, self._due, loop)
                return
            self._turns += 1
            self._quiet = 0 if collected > self._seen else self._quiet + 1
            self._seen = collected
            if self._quiet < QUIET and self._turns < TURNS:
                loop.call_soon(self._turn, loop)
                return
        self._due(loop)

    def _due(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._scheduled is loop:
            self._scheduled = None
            self._busy = len(self._lines) >= BUSY
        self.flush()

    def _flush(self, wait: float) -> None:
        stdout = self._stdout
        first: list[bytes] = []
        while True:
            # Others append meanwhile: only what was copied is deleted, so that nothing is lost without a lock for
            # each line.
            lines = self._lines[:]
            del self._lines[: len(lines)]
            self._size = 0
            if self._file is not None:
                copied = self._copied[:]
                del self._copied[: len(copied)]
                if copied:
                    self._file.write(b"".join(copied))
            if lines or stdout.blocked:
                made = _made(lines)
                if stdout.write(made) and self._told == stdout.dropped and not self._lines:
                    # Nearly always: all of it is out, and there is nothing to tell.
                    return
                if self._inside:
                    first = self._after_an_echo(made, first)
                if wait and stdout.blocked:
                    stdout.wait(wait)
            if stdout.blocked:
                self._watch()
            elif self._told < stdout.dropped and not stdout.broken:
                self._lines.append(self.notice(stdout.dropped - self._told))
                self._told = stdout.dropped
            if not self._lines:
                return

    def _after_an_echo(self, lines: list[bytes], first: list[bytes]) -> list[bytes]:
        """Have lines go past a stream that has logged what was written to it, twice in a row; or remember them.

        Args:
            lines: what was written.
            first: what it was before, if that was logged as well.
        """
        echoed = self._inside[:]
        self._inside.clear()
        if not self._stdout.replaced:
            return []
        if not first:
            return lines
        self._stdout.pass_by()
        self._lines[:] = [*first, *(line for line in self._lines if not any(line is one for one in echoed))]
        return []

    def _watch(self) -> None:
        """Have the loop tell when the reader reads again."""
        loop = _running_loop()
        descriptor = self._stdout.watched
        if loop is None:
            # A thread of its own: the loop that logged last comes back to it.
            if self._watching is None and self._loop is not None and self._loop.is_running():
                self._loop.call_soon_threadsafe(self._turn, self._loop)
            return
        if self._stdout.crowded:
            self._unwatch()
            if self._retrying is not loop:
                self._retrying = loop
                loop.call_later(PAUSE, self._retry)
            return
        if descriptor is None or self._watching == (loop, descriptor):
            return
        self._unwatch()
        try:
            loop.add_writer(descriptor, self._writable, loop, descriptor)
        except (NotImplementedError, OSError, RuntimeError, ValueError):
            return  # The next line tries again by itself.
        self._watching = (loop, descriptor)

    def _retry(self) -> None:
        self._retrying = None
        self.flush()

    def _writable(self, loop: asyncio.AbstractEventLoop, descriptor: int) -> None:
        self.flush()
        if not self._stdout.blocked:
            loop.remove_writer(descriptor)
            if self._watching == (loop, descriptor):
                self._watching = None

    def _unwatch(self) -> None:
        if self._watching is None:
            return
        loop, descriptor = self._watching
        self._watching = None
        if _running_loop() is loop:
            loop.remove_writer(descriptor)
        elif not loop.is_closed():
            loop.call_soon_threadsafe(loop.remove_writer, descriptor)

    def _forget(self) -> None:
        """In a forked child: what was collected before is the parent's to write."""
        self._lock = threading.Lock()
        self._owner = 0
        self._lines.clear()
        self._copied.clear()
        self._size = 0
        self._scheduled = self._loop = self._watching = self._retrying = None
        self._stdout.forget()


def _made(lines: list[bytes | Unmade]) -> list[bytes]:
    try:
        return [line if isinstance(line, bytes) else line[0].make(line) for line in lines]
    except Exception as error:  # one that cannot be made must not take the others with it
        failures.contain("logs", error)
        return [made for line in lines if (made := _made_alone(line))]


def _made_alone(line: bytes | Unmade) -> bytes:
    try:
        return line if isinstance(line, bytes) else line[0].make(line)
    except Exception:  # counted already
        return b""


def _forget_all() -> None:
    for writer in list(_writers):
        writer._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
