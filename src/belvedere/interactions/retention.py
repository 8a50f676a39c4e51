"""Old rows: deleted once an hour, at a moment of its own choice, by one worker of those that share a journal."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import SystemRandom
from typing import Any, Final

from belvedere import failures, locking
from belvedere.conventions import InteractionEvent
from belvedere.interactions.store import Store
from belvedere.interactions.verdicts import Unavailable

PERIOD: Final = 3600.0
"""Seconds between two times."""
_FILE: Final = ".pruning"
_BEGIN: Final = datetime.min.replace(tzinfo=UTC)
_chance: Final = SystemRandom()
"""The module's own generator is the application's: who seeds it expects the same numbers each time."""


class Retention:
    """Deletes what is older than the retention.

    Args:
        store: where rows are.
        retention: a `timedelta`, or days.
        folder: of the journal, where workers agree on who does it; `None`: each does.
        log: called with level, event and fields.

    Raises:
        ValueError: a retention that keeps nothing.
    """

    def __init__(
        self, store: Store, retention: timedelta | float | None, folder: Path | None, log: Callable[..., None]
    ) -> None:
        self.period = None if retention is None else _period(retention)
        self._store = store
        self.folder = folder
        self._log = log
        self._task: asyncio.Task[None] | None = None
        self._next = _moment()

    def look(self) -> None:
        """Begin if it is time to; called on the event loop, often."""
        if self.period is None or time.monotonic() < self._next or (self._task and not self._task.done()):
            return
        self._next = _moment(after=PERIOD / 2)
        self._task = asyncio.get_running_loop().create_task(self._hourly(), context=Context())

    def abandon(self) -> None:
        """Leave the rest for another time."""
        task, self._task = self._task, None
        if task is not None and not task.done():
            with suppress(RuntimeError):  # its loop is closed
                task.get_loop().call_soon_threadsafe(task.cancel)

    async def prune(self, retention: timedelta | float | None = None) -> int:
        """Delete what is older, now; return how many rows that were.

        Raises:
            ValueError: no retention is given, here or before, or one that keeps nothing.
        """
        kept = self.period if retention is None else _period(retention)
        if kept is None:
            raise ValueError("interactions: prune() needs a retention, as a timedelta or in days")
        now = datetime.now(UTC)
        if kept >= now - _BEGIN:
            return 0  # No row can be as old.
        return await self._store.prune(now - kept)

    async def _hourly(self) -> None:
        turn = _Turn(self.folder)
        if not turn.taken:
            return
        try:
            if rows := await self.prune():
                self._log("info", InteractionEvent.PRUNED, rows=rows)
            turn.over()
        except Unavailable:
            return  # Whether it is away is told by whoever writes; the next hour comes.
        except Exception as error:
            failures.contain("interactions", error)
        finally:
            turn.end()


class _Turn:
    """The right to do it, which one worker has at a time, and for the next of half a period nobody."""

    def __init__(self, folder: Path | None) -> None:
        self.taken = True
        self._descriptor = -1
        if not locking.available or folder is None or not folder.is_dir():
            return
        try:
            self._descriptor = os.open(folder / _FILE, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
            locking.fcntl.flock(self._descriptor, locking.fcntl.LOCK_EX | locking.fcntl.LOCK_NB)
            found: Any = os.fstat(self._descriptor)
            # A time to come was told by a clock that has been put back since.
            if found.st_size and abs(time.time() - found.st_mtime) < PERIOD / 2:
                self.end()
        except BlockingIOError:
            self.end()
        except OSError:
            return  # A folder that cannot be written to: each does it by itself.

    def over(self) -> None:
        """Remember when it was done."""
        if self._descriptor >= 0:
            with suppress(OSError):
                os.pwrite(self._descriptor, b"1", 0)

    def end(self) -> None:
        """Give it back."""
        self.taken = False
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _moment(after: float = 0.0) -> float:
    return time.monotonic() + after + _chance.uniform(0.0, PERIOD)


def _period(given: Any) -> timedelta:
    if isinstance(given, bool) or not isinstance(given, (timedelta, int, float)):
        raise TypeError(f"interactions: a retention is a timedelta or a number of days, not {given!r}")
    try:
        period = given if isinstance(given, timedelta) else timedelta(days=given)
    except (ValueError, OverflowError):
        raise ValueError(f"interactions: a retention of {given!r} days is none; None keeps everything") from None
    if period <= timedelta(0):
        raise ValueError(f"interactions: a retention of {period} keeps nothing; None keeps everything")
    return period
