"""One check under watch: run once however many ask, its result kept for a moment, its failures told when they begin."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any

from belvedere import failures
from belvedere.conventions import Event
from belvedere.health.calls import Call, Outcome
from belvedere.health.tasks import Task, cancelled, pending
from belvedere.parts import Check


class Watch:
    """Runs a check on request and remembers what it said.

    Whoever asks while it runs shares that run. The run is a task of its own: that one of those who wait goes away
    changes nothing for the others.

    Args:
        check: the check.
        call: how it is called.
        cache: seconds for which a result is good.
        clock: seconds, for the age of a result.
        context: what context variables are in a run: those of no request, as it answers many.
        tell: gets each outcome as it comes.
        logger: gets `check_failed` and `check_recovered`, when that changes; `None`: no events.
    """

    def __init__(
        self,
        check: Check,
        call: Call,
        *,
        cache: float,
        clock: Callable[[], float],
        context: Context,
        tell: Callable[[Check, Outcome], None],
        logger: Any = None,
    ) -> None:
        self.check = check
        self.last: Outcome | None = None
        self._call = call
        self._cache = cache
        self._clock = clock
        self._context = context
        self._tell = tell
        self._logger = logger
        self._fresh_until = float("-inf")
        self._run: Task | None = None

    @property
    def timeout(self) -> float:
        return self._call.timeout

    def begin(self) -> Task | None:
        """Return the run to wait for, or `None` where `last` is good as it is.

        Wait by `asyncio.wait`: it leaves the run alone when the waiter is cancelled, and the waiter when the run is.
        """
        if self._clock() < self._fresh_until:
            return None
        if not pending(self._run):
            self._run = asyncio.create_task(self._once(), context=self._context.copy())
        return self._run

    def running(self) -> list[Task]:
        """Return the run that has yet to end, if it is of the running loop."""
        return [self._run] if self._run is not None and pending(self._run) else []

    def cancel(self) -> list[Task]:
        """Cancel what runs, and return it; the next who asks gets a new run."""
        self._fresh_until = float("-inf")
        return cancelled(self._run) + self._call.cancel()

    async def _once(self) -> None:
        before, outcome = self.last, await self._call()
        self.last = outcome
        self._fresh_until = self._clock() + self._cache
        try:
            self._tell(self.check, outcome)
            self._log(before, outcome)
        except Exception as error:  # a broken metric or logger is no failure of the check
            failures.contain("health", error)

    def _log(self, before: Outcome | None, outcome: Outcome) -> None:
        if self._logger is None or outcome.passed == (before is None or before.passed):
            return
        fields: dict[str, Any] = {
            "check": self.check.name,
            "critical": self.check.critical,
            "seconds": round(outcome.seconds, 6),
        }
        if outcome.passed:
            self._logger.info(Event.CHECK_RECOVERED, **fields)
        else:
            error = {} if outcome.error is None else {"exc_info": outcome.error}
            self._logger.warning(Event.CHECK_FAILED, reason=outcome.reason, **fields, **error)
