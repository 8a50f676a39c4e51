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

from belvedere.health.details import presentable
from belvedere.parts import Check


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
    """

    def __init__(self, check: Check, timeout: float, clock: Callable[[], float]) -> None:
        self._check = check
        self.timeout = timeout
        self._clock = clock
        self._on_loop = _is_async(check.call)
        self._hanging: asyncio.Task[Any] | None = None
        self._thread_busy = False

    async def __call__(self) -> Outcome:
        """Return what came of it; raises `CancelledError` alone, when the caller is cancelled."""
        started = self._clock()
        timed_out = f"timed out after {self.timeout:g} s"
        if self._still_hanging():
            return Outcome(False, 0.0, reason=timed_out)
        task = asyncio.create_task(self._run())
        self._hanging = task
        try:
            await asyncio.wait({task}, timeout=self.timeout)
        finally:
            if not task.done():
                task.cancel()
        seconds = self._clock() - started
        if not task.done():
            return Outcome(False, seconds, reason=timed_out)
        if task.cancelled():
            return Outcome(False, seconds, reason="CancelledError")
        result = task.result()
        if isinstance(result, BaseException):
            return Outcome(False, seconds, reason=type(result).__name__, error=result)
        details = presentable(result) if isinstance(result, Mapping) else {}
        return Outcome(result is not False, seconds, details, reason="returned False" if result is False else None)

    def cancel(self) -> asyncio.Task[Any] | None:
        """Cancel the call that is running, and return it; a thread cannot be cancelled, and ends when it ends."""
        task = self._hanging
        if task is None or task.done():
            return None
        loop = task.get_loop()
        if not loop.is_closed():
            loop.call_soon_threadsafe(task.cancel)
        return task

    def _still_hanging(self) -> bool:
        if self._thread_busy:
            return True
        task = self._hanging
        # The task of a loop that has been closed will never be done.
        return task is not None and not task.done() and not task.get_loop().is_closed()

    async def _run(self) -> Any:
        """Return what the check returned, or what it raised: `SystemExit` in a task would stop the loop."""
        try:
            result = await self._check.call() if self._on_loop else await self._in_thread()  # type: ignore[misc]
            return await result if inspect.isawaitable(result) else result
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
