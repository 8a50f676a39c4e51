"""What Belvedere asks a broker, and by it the workers: in one thread, whoever wants to know and however long it takes.

Kombu has no calls that a loop could await. A broker that hangs keeps that one thread waiting until the time-outs of its
connection; who asks meanwhile shares that question.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from kombu.common import Broadcast

from belvedere import failures
from belvedere.integrations._celery.inbox import Answers, Inbox
from belvedere.integrations.spans import unseen

FEATURE = "celery"
PATIENCE = 1.0
"""Seconds without a further answer of a worker, after which none is awaited; Celery's own default."""
AGAIN = 5.0
"""Seconds after which queues and all workers are looked at again where nothing does so regularly."""
QUEUES = 100
"""Queues that are looked at."""


class NoWorkersError(Exception):
    """The broker answers, and no worker does."""


class BrokerError(Exception):
    """The broker could not be asked; of the cause, only its kind is told, as its text may show the URL."""


@dataclass(frozen=True)
class Found:
    """What was found out: tasks that run now by worker; by queue, its workers and its length where it was looked at."""

    active: dict[str, int]
    workers: dict[str, int] | None = None
    lengths: dict[str, int] = field(default_factory=dict)

    @property
    def details(self) -> dict[str, Any]:
        """What the check tells."""
        workers = sorted(self.active)
        return {"worker_count": len(workers), "active_tasks": sum(self.active.values()), "workers": workers}


class Asking:
    """Asks when told to, and every so often from `start` to `stop`.

    Args:
        app: of Celery.
        queues: to look at, besides those that workers take from; `None`: those that are configured.
        patience: seconds that a worker may take to answer, and half of what the broker may; a second at most.
        tell: gets what was found, and `None` where the broker could not be asked; called in the thread.
    """

    def __init__(
        self, app: Any, queues: Sequence[str] | None, patience: float, tell: Callable[[Found | None], None]
    ) -> None:
        self._app = app
        self._queues = queues
        self._patience = min(PATIENCE, patience)
        self._tell = tell
        self._every: float | None = None
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._waiting: list[Callable[[Found | BaseException], None]] = []
        self._thread: threading.Thread | None = None
        self._ends = False
        self._known = 0
        # Of its thread: one that has been told to end closes its own.
        self._held = threading.local()
        self._last = float("-inf")

    async def ask(self) -> dict[str, Any]:
        """Return the details of the check.

        Raises:
            NoWorkersError, BrokerError: which of both it is.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Found | BaseException] = loop.create_future()

        def settle(found: Found | BaseException) -> None:
            if not answer.done():
                answer.set_result(found)

        def told(found: Found | BaseException) -> None:
            try:
                loop.call_soon_threadsafe(settle, found)
            except RuntimeError:
                return  # The loop was closed meanwhile: nobody waits.

        self._begin(told)
        try:
            found = await answer
        finally:
            with self._lock:
                if told in self._waiting:
                    self._waiting.remove(told)
        if isinstance(found, BaseException):
            raise BrokerError(type(found).__name__) from None
        if not found.active:
            raise NoWorkersError
        return found.details

    def start(self, every: float) -> None:
        """Ask now, and then every so many seconds."""
        self._every, self._last = every, float("-inf")
        self._begin(None)

    def stop(self) -> None:
        """Ask no more; the thread ends with the question that it is about, and nobody waits for that."""
        self._every = None
        with self._lock:
            thread, self._thread = self._thread, None
            self._ends = True
        if thread is not None:
            self._wake.set()

    def _begin(self, told: Callable[[Found | BaseException], None] | None) -> None:
        if self._pid != os.getpid():
            self._reset()  # The thread is the parent's, and so is what it holds.
        with self._lock:
            if told is not None:
                self._waiting.append(told)
            if self._thread is None or not self._thread.is_alive():
                self._ends = False
                self._wake = threading.Event()
                self._thread = threading.Thread(
                    target=self._run, args=(self._wake,), name="belvedere-celery", daemon=True
                )
                self._thread.start()
            self._wake.set()

    def _run(self, wake: threading.Event) -> None:
        while True:
            every = self._every
            wake.wait(None if every is None else max(0.0, self._last + every - time.monotonic()))
            wake.clear()
            with self._lock:
                ends = self._wake is not wake or self._ends
                wanted = bool(self._waiting)
            if ends:
                with unseen():
                    self._hang_up()
                return
            known = self._known > 0
            if wanted and known:
                self._once(whole=False)
            age = time.monotonic() - self._last
            # Without `start`, whoever asks has everything looked at besides, which nobody waits for.
            due = age >= (self._every or AGAIN) and (self._every is not None or wanted)
            if due or (wanted and not known):
                self._once(whole=True)

    def _once(self, *, whole: bool) -> None:
        """Ask, and tell whoever waits; who comes meanwhile waits for the next question, as this may be answered."""
        with self._lock:
            waiting, self._waiting = self._waiting, []

        def settle(found: Found | BaseException) -> None:
            while waiting:
                waiting.pop()(found)

        found: Found | BaseException
        try:
            with unseen():
                found = self._found(settle, whole=whole)
            self._known = len(found.active)
        except Exception as error:
            found, self._known = error, 0
        if whole:
            self._last = time.monotonic()
        settle(found)
        try:
            if isinstance(found, BaseException):
                self._tell(None)
            elif whole:
                self._tell(found)
        except Exception as error:
            failures.contain(FEATURE, error)

    def _found(self, settle: Callable[[Found], None], *, whole: bool) -> Found:
        kept = getattr(self._held, "inbox", None) is not None
        try:
            return self._look(settle, whole=whole)
        except Exception:
            self._hang_up()
            if not kept:
                raise
        # The connection may have been lost long ago.
        try:
            return self._look(settle, whole=whole)
        except Exception:
            self._hang_up()
            raise

    def _look(self, settle: Callable[[Found], None], *, whole: bool) -> Found:
        inbox = getattr(self._held, "inbox", None)
        if inbox is None:
            inbox = self._held.inbox = Inbox(self._app, self._connected())
        commands = ("active", "active_queues") if whole else ("active",)
        if whole:
            answers = inbox.ask(commands, self._patience)
        else:
            answers = inbox.ask(commands, self._patience, self._known, lambda found: settle(Found(_active(found))))
        active = _active(answers)
        if not whole:
            return Found(active)
        found = [queues for queues in answers["active_queues"].values() if isinstance(queues, list)]
        taken = [str(queue["name"]) for queues in found for queue in queues]
        names = list(dict.fromkeys([*self._names(), *taken]))[:QUEUES]
        return Found(active, {name: taken.count(name) for name in names}, {name: inbox.length(name) for name in names})

    def _hang_up(self) -> None:
        inbox, self._held.inbox = getattr(self._held, "inbox", None), None
        if inbox is not None:
            try:
                inbox.close()
            except Exception:  # noqa: S110 - it is gone already
                pass

    def _connected(self) -> Any:
        connection = self._app.connection_for_write(connect_timeout=2 * self._patience)
        # What hangs ends: by the names that the transport's own client has for it.
        patience = 2 * self._patience
        limits = {
            "redis": {"socket_timeout": patience, "socket_connect_timeout": patience},
            "amqp": {"read_timeout": patience, "write_timeout": patience},
        }
        connection.transport_options = {
            **(connection.transport_options or {}),
            **limits.get(connection.transport.driver_type, {}),
        }
        try:
            return connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0, interval_max=0)
        except BaseException:
            connection.release()
            raise

    def _names(self) -> list[str]:
        if self._queues is not None:
            return list(self._queues)
        return [name for name, queue in self._app.amqp.queues.items() if not isinstance(queue, Broadcast)]


def _active(answers: Answers) -> dict[str, int]:
    return {worker: len(tasks) for worker, tasks in answers["active"].items() if isinstance(tasks, list)}
