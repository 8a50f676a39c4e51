"""One call of a check, on the event loop or in a thread, which never takes longer than its time-out.

A check that goes on past its time-out is left behind: it gets neither a second task nor a second thread before it has
ended, so that a dependency that hangs costs one thread, not one for each probe.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Mapping
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any

from belvedere.health.blocking import Blocking
from belvedere.health.details import presentable
from belvedere.health.tasks import Task, cancelled, pending
from belvedere.parts import Check
from belvedere.redaction import Redactor


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a check said: whether it passed, after how many seconds, its details, and what went wrong.

    `reason` is fit for a log line: a time-out or the type of an exception, never its text.
    """

    passed: bool
    seconds: float
    details: dict[str, Any] = field(default_factory=dict)
    reason: str | None = None
    error: BaseException | None = None


class Call:
    """Calls one check, at most one call at a time.

    Args:
        check: the check; a sync one is called in a thread of its own, as the application's may all be busy.
        timeout: seconds after which it has failed.
        clock: seconds, for the time that it took.
        redactor: knows what of its details may be shown.
        blocking: watches what of it runs on the loop.
    """

    def __init__(
        self, check: Check, timeout: float, clock: Callable[[], float], redactor: Redactor, blocking: Blocking
    ) -> None:
        self._check = check
        self.timeout = timeout
        self._clock = clock
        self._redactor = redactor
        self._blocking = blocking
        self._started = 0.0
        self._on_loop = _is_async(check.call)
        self._task: Task | None = None
        self._thread_busy = False

    async def __call__(self) -> Outcome:
        """Return what came of it; raises `CancelledError` alone, when the caller is cancelled."""
        timed_out = f"timed out after {self.timeout:g} s"
        if self._thread_busy or pending(self._task):
            return Outcome(False, self._clock() - self._started, reason=timed_out)
        self._started = self._clock()
        task = asyncio.create_task(self._run())
        self._task = task
        try:
            await asyncio.wait({task}, timeout=self.timeout)
        finally:
            if not task.done():
                task.cancel()
        seconds = self._clock() - self._started
        if not task.done():
            return Outcome(False, seconds, reason=timed_out)
        if task.cancelled():
            return Outcome(False, seconds, reason="CancelledError")
        result = task.result()
        if isinstance(result, BaseException):
            return Outcome(False, seconds, reason=type(result).__name__, error=result)
        details = presentable(result, self._redactor) if isinstance(result, Mapping) else {}
        return Outcome(result is not False, seconds, details, reason="returned False" if result is False else None)

    def cancel(self) -> list[Task]:
        """Cancel the call that is running, and return its task; a thread cannot be cancelled, and ends when it ends."""
        return cancelled(self._task)

    async def _run(self) -> Any:
        """Return what the check returned, or what it raised: `SystemExit` in a task would stop the loop."""
        try:
            watched = self._blocking.watched
            result = await watched(self._check.call()) if self._on_loop else await self._in_thread()
            return await watched(result) if inspect.isawaitable(result) else result
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as error:  # whatever a check raises, it has failed
            return error

    def _in_thread(self) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()

        def settle(result: Any) -> None:
            if not answer.done():
                answer.set_result(result)

        def run() -> None:
            try:
                result: Any = context.run(self._check.call)
            except BaseException as error:  # whatever a check raises, it has failed
                result = error
            self._thread_busy = False
            try:
                loop.call_soon_threadsafe(settle, result)
            except RuntimeError:
                return  # The loop was closed meanwhile: nobody waits.

        context = copy_context()
        # A daemon, as a check that hangs must not keep the process from ending.
        thread = threading.Thread(target=run, name=f"belvedere-check-{self._check.name}", daemon=True)
        self._thread_busy = True
        try:
            thread.start()
        except BaseException:
            self._thread_busy = False
            raise
        return answer


def _is_async(call: Callable[..., Any]) -> bool:
    """Whether calling it makes a coroutine: a function, a partial of one, or an object that is called like one."""
    return inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(type(call).__call__)
