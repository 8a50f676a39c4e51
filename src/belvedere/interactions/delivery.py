"""The way from the journal to the database: one task on the event loop of the application."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context
from random import SystemRandom
from typing import Any, Final, Protocol, TypeVar
from weakref import WeakSet

from belvedere import failures
from belvedere.conventions import InteractionEvent
from belvedere.interactions.compact import spelled_out
from belvedere.interactions.figures import Tally, losses
from belvedere.interactions.journal import Batch, Journal, forks
from belvedere.interactions.store import Written
from belvedere.interactions.verdicts import Unavailable

T = TypeVar("T")

GATHER: Final = 0.5
"""Seconds between the first event that waits and the write that takes it with all others: a write costs as much as
some hundred rows of it (`benchmarks/README.md`), so two a second are as many as a service should pay for."""
BATCH: Final = 500
"""Events of one write while few wait."""
BACKLOG: Final = 2000
"""Events of one write while many wait."""
TICK: Final = 1.0
"""Seconds between two looks at what dead workers left, and at the figures."""
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 5.0
"""Seconds of the pauses while the database is away: the first, and the bound of those that double."""
GRACE: Final = 1.0
"""Seconds that a write may take when the delivery is told to stop, before it is broken off."""
REFUSALS_LOGGED: Final = 60.0
"""Seconds between two log events about events that the database refuses."""
_POLL: Final = 0.01
"""Seconds between two looks at whether it has caught up."""

_chance: Final = SystemRandom()
"""The module's own generator is the application's: who seeds it expects the same numbers each time."""


class Writes(Protocol):
    """What of a store the delivery needs."""

    async def write(self, payloads: Any) -> Written: ...


class Delivery:
    """Takes batches from a journal and writes them, in order, until the database has them.

    It runs on the loop that serves; another one takes over when that is closed. The journal's files are read in a
    thread of its own.

    Args:
        journal: where events wait.
        store: where they go.
        tally: where their fate is counted.
        log: called with level, event and fields, for what people should know.
        on_tick: run every second and after each write, when the figures are up to date.
        on_disk: whether the journal is to have files, and it is worth telling that it has none.
    """

    def __init__(
        self,
        journal: Journal,
        store: Writes,
        tally: Tally,
        log: Callable[..., None],
        *,
        on_tick: Callable[[], None] = lambda: None,
        on_disk: bool = True,
    ) -> None:
        self._journal = journal
        self._store = store
        self._tally = tally
        self._log = log
        self._on_tick = on_tick
        self._settled = 0
        """Events that are no longer waiting, as they are delivered or refused."""
        self.adopted = 0
        """Times that dead workers' events came in, before those of this worker."""
        self._refused = 0
        self._refusals_logged = float("-inf")
        self._failures = 0
        self._state = "journal" if on_disk else "memory"
        self._due = False
        self._leaving: WeakSet[asyncio.Task[None]] = WeakSet()
        self._forget()
        forks.follow(self)

    @property
    def running(self) -> bool:
        """Whether a task of a loop that runs delivers."""
        return self._task is not None and not self._task.done() and self._loop is not None and self._loop.is_running()

    def wake(self) -> None:
        """Have what was appended delivered soon; called on the event loop of whoever appended it, if there is one."""
        # Each request asks: whether a loop runs costs less than which one does, for which Python 3.11 asks the system.
        if self._due and self._loop is not None and self._loop.is_running():
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # It waits for whoever has one.
        if loop is not self._loop and not self.running:
            self._begin(loop)
        if loop is self._loop and not self._due:
            self._due = True
            loop.call_later(GATHER, self._event.set)

    def hurry(self) -> None:
        """Have everything delivered now, without waiting for more or for the end of a pause."""
        self.wake()
        if self._loop is not None and self._loop.is_running():
            self._loop.call_soon_threadsafe(self._hurry_on)

    async def caught_up(self, timeout: float | None) -> bool:
        """Deliver what waits now; return whether all of it came out of the journal within so many seconds, if any."""
        journal = self._journal
        deadline = float("inf") if timeout is None else time.monotonic() + timeout
        settled, adopted, waiting = self._settled, self.adopted, journal.pending
        while True:
            if self.adopted != adopted:
                # They come first: what waited before comes after them.
                settled, adopted, waiting = self._settled, self.adopted, journal.pending
            if not journal.pending or self._settled - settled >= waiting:
                return True
            if time.monotonic() >= deadline:
                return False
            self.hurry()
            await asyncio.sleep(_POLL)

    async def stop(self) -> None:
        """End the task, after the write that it is at, or soon; what it had taken goes back."""
        self.abandon()
        loop = asyncio.get_running_loop()
        tasks = {task for task in self._leaving if task.get_loop() is loop and not task.done()}
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=GRACE)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    def abandon(self) -> None:
        """Have the task end after the write that it is at, without waiting for that.

        To cancel it there would leave a connection to the garbage collector.
        """
        task, loop, event, impatient = self._task, self._loop, self._event, self._impatient
        self._forget()
        if task is None or task.done() or loop is None or loop.is_closed():
            return
        self._leaving.add(task)

        def leave() -> None:
            event.set()
            impatient.set()

        loop.call_soon_threadsafe(leave)

    def refresh(self) -> None:
        """Bring the tally up to date."""
        tally, journal = self._tally, self._journal
        tally.dropped = losses(journal.dropped, self._refused)
        tally.pending = journal.pending
        tally.bytes = journal.bytes
        tally.oldest = journal.oldest or 0.0

    def tell_state(self) -> None:
        """Log it if events wait elsewhere than before."""
        state = self._journal.state
        if state == self._state:
            return
        self._state = state
        if state == "memory":
            self._log("warning", InteractionEvent.JOURNAL_UNAVAILABLE, reason=self._journal.why)
        else:
            self._log("info", InteractionEvent.JOURNAL_RECOVERED, journal=self._journal.why)

    def forked(self) -> None:
        """In a forked child: the tasks and loops are the parent's."""
        self._forget()

    def _forget(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._event = asyncio.Event()
        self._impatient = asyncio.Event()
        self._due = False

    def _hurry_on(self) -> None:
        self._event.set()
        self._impatient.set()

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._forget()
        self._loop = loop
        # A context of its own: nothing that it does belongs to the request that happened to come first.
        self._task = loop.create_task(self._run(self._event), name="belvedere-interactions", context=Context())

    async def _run(self, event: asyncio.Event) -> None:
        """Deliver until somebody else has taken over: `event`, which wakes it, is then no longer the current one."""
        threads = ThreadPoolExecutor(1, thread_name_prefix="belvedere-interactions")
        ticking: asyncio.Task[None] | None = None
        try:
            # A loop that is over before that, as that of a test's one request, never has a connection to leave behind.
            await event.wait()
            await self._tick(threads)
            # Beside what is delivered: a database that hangs keeps neither figures nor dead workers' events waiting.
            ticking = asyncio.create_task(self._ticks(threads), name="belvedere-interactions-figures")
            while self._event is event:
                self._due = False
                event.clear()
                if not await self._deliver(threads) and self._event is event:
                    try:
                        async with asyncio.timeout(TICK):
                            await event.wait()
                    except TimeoutError:
                        pass
        except Exception as error:
            failures.contain("interactions", error)
        finally:
            if ticking is not None:
                ticking.cancel()
            threads.shutdown(wait=False)
            if self._event is event:
                self._forget()

    async def _ticks(self, threads: ThreadPoolExecutor) -> None:
        while True:
            await asyncio.sleep(TICK)
            await self._tick(threads)

    async def _tick(self, threads: ThreadPoolExecutor) -> None:
        try:
            if await self._aside(threads, self._journal.adopt):
                self.adopted += 1
                self._event.set()
            self.tell_state()
        except Exception as error:
            failures.contain("interactions", error)
        self._show()

    async def _deliver(self, threads: ThreadPoolExecutor) -> bool:
        """Write one batch; return whether there is reason to go on at once."""
        journal = self._journal
        limit = BATCH if journal.pending <= BATCH else BACKLOG

        def take() -> Batch | None:
            batch = journal.take(limit)
            if batch is not None:
                batch.payloads = spelled_out(batch.payloads)
            return batch

        batch = await self._aside(threads, take, lost=_back)
        if batch is None:
            return False
        try:
            written = await self._store.write(batch.payloads)
        except Exception as error:
            await self._aside(threads, batch.back)
            await self._failed(batch, error)
            return True
        except BaseException:
            batch.back()
            raise
        try:
            await self._aside(threads, batch.done)
        finally:
            self._succeeded(batch, written)
        return len(batch.payloads) >= limit

    def _succeeded(self, batch: Batch, written: Written) -> None:
        if self._failures:
            self._failures = 0
            self._log("info", InteractionEvent.RECOVERED, pending=self._journal.pending)
        if written.refused:
            self._refuse([reason for _, reason in written.refused])
        self._tally.written += len(batch.payloads) - len(written.refused)
        self._settled += len(batch.payloads)
        # At once: what is counted, but not yet shown, dies with a worker that is killed.
        self._show()

    async def _failed(self, batch: Batch, error: Exception) -> None:
        self._tally.retried += len(batch.payloads)
        if isinstance(error, Unavailable):
            reason = str(error)
        else:
            failures.contain("interactions", error)
            reason = type(error).__name__
        if not self._failures:
            self._log("warning", InteractionEvent.UNAVAILABLE, reason=reason, pending=self._journal.pending)
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**self._failures) * _chance.uniform(0.5, 1.0)
        self._failures = min(self._failures + 1, 16)
        self._show()
        impatient = self._impatient
        if self._task is not asyncio.current_task():
            return
        impatient.clear()
        try:
            async with asyncio.timeout(pause):
                await impatient.wait()
        except TimeoutError:
            pass

    def _show(self) -> None:
        try:
            self.refresh()
            self._on_tick()
        except Exception as error:
            failures.contain("interactions", error)

    def _refuse(self, reasons: list[str]) -> None:
        self._refused += len(reasons)
        now = asyncio.get_running_loop().time()
        if now - self._refusals_logged >= REFUSALS_LOGGED:
            self._refusals_logged = now
            self._log("error", InteractionEvent.REFUSED, reasons=sorted(set(reasons))[:10], total=self._refused)

    async def _aside(
        self, threads: ThreadPoolExecutor, call: Callable[[], T], lost: Callable[[Future[T]], None] | None = None
    ) -> T:
        """Run `call` in the thread; what it returns when nobody waits any more goes to `lost`."""
        future = threads.submit(call)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if lost is not None and not future.cancel():
                future.add_done_callback(lost)
            raise


def _back(future: Future[Batch | None]) -> None:
    if not future.cancelled() and future.exception() is None and (batch := future.result()) is not None:
        batch.back()
