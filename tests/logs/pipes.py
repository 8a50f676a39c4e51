"""A pipe in place of stdout, and what a writer has to do with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from typing import Any

from belvedere.logs.stdout import Stdout
from belvedere.logs.writer import BUSY_SECONDS, TURNS

PIPE_BYTES = 65_536
"""What a pipe holds by default (pipe(7))."""


class Pipe:
    """A real pipe in place of stdout, read only when asked."""

    def __init__(self) -> None:
        self.reader, self.descriptor = os.pipe()
        os.set_blocking(self.reader, False)
        self.stream = os.fdopen(self.descriptor, "w")

    def read(self) -> bytes:
        """Return what is in the pipe right now."""
        parts = []
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self.reader, PIPE_BYTES):
                parts.append(part)
        return b"".join(parts)

    def close(self) -> None:
        for close in (self.stream.close, lambda: os.close(self.reader)):
            with contextlib.suppress(OSError):
                close()


def stdout(stream: Any, **options: Any) -> Stdout:
    """Return what a process has whose stdout is `stream`."""
    return Stdout(stream=lambda: stream, descriptor=stream.fileno(), **options)


def written(descriptor: int) -> list[bytes]:
    return list(iter(lambda: os.read(descriptor, PIPE_BYTES), b""))


async def turn() -> None:
    """Let the loop come round until a writer has nothing more to wait for."""
    for _ in range(TURNS + 2):
        await asyncio.sleep(0)
    await asyncio.sleep(2 * BUSY_SECONDS)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until something is so."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)


def fill(pipe: Pipe) -> bytes:
    """Fill the pipe, and return with what."""
    os.set_blocking(pipe.descriptor, False)
    filling = b"." * PIPE_BYTES
    assert os.write(pipe.descriptor, filling) == PIPE_BYTES
    os.set_blocking(pipe.descriptor, True)
    return filling
