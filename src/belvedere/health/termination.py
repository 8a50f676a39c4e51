"""What a process does on SIGTERM: serves on for a while, then lets its server stop; a second signal stops it now."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol
from weakref import WeakSet

from belvedere.asgi.server import one_of_several
from belvedere.health import servers
from belvedere.health.handlers import Handler, hold

ECHO = 1.0
"""Seconds after the first SIGTERM within which one more may be the supervisor's copy of it.

systemd (`KillMode=control-group`, its default) and `kill -- -PGID` signal the workers and their supervisor, which then
signals the workers: uvicorn's, which is the slowest, looks for signals every 0.5 s."""
TOGETHER = 0.1
"""Seconds after a SIGTERM within which a SIGINT is what the supervisor's SIGTERM came of: Ctrl-C reaches both, and of
two signals that wait for a process, the kernel has the later one handled first."""
SIGQUIT = getattr(signal, "SIGQUIT", None)
"""What gunicorn's arbiter makes of a SIGINT; Windows has none."""
FURTHER = tuple(number for number in (signal.SIGINT, SIGQUIT) if number is not None)
"""What is a second signal, besides another SIGTERM."""

Later = Callable[[asyncio.AbstractEventLoop, float, Callable[[], None]], Any]


class Draining(Protocol):
    """What takes part: an application that is served on for a while."""

    seconds: float
    flush: Callable[[], None]

    def begin(self) -> None:
        """Take it out of traffic."""

    def end(self) -> None:
        """Put it back into traffic."""

    def tell(self, seconds: float) -> None:
        """Log that the process drains for so long."""


class Termination:
    """One for the process, whatever the number of its applications.

    Args:
        later: calls after so many seconds; what it returns can be cancelled.
        clock: seconds that never go back.
        supervised: whether a supervisor of the server's own signals this process.
    """

    def __init__(
        self,
        later: Later = lambda loop, seconds, call: loop.call_later(seconds, call),
        clock: Callable[[], float] = time.monotonic,
        supervised: Callable[[], bool] = one_of_several,
    ) -> None:
        self.drains: WeakSet[Draining] = WeakSet()
        self._later = later
        self._clock = clock
        self._supervised = supervised
        self._serving: list[Draining] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._held: dict[int, list[Handler]] = {}
        self._reset()

    def _reset(self) -> None:
        self._began: float | None = None
        self._echoed = self._passed = self._interrupted = False
        self._timer: Any = None

    def serve(self, drain: Draining) -> str | None:
        """Drain from now on, and as long as `drain` has not left; or return why that cannot be.

        Called in the loop of the server that serves the application.
        """
        if threading.current_thread() is not threading.main_thread():
            return "signals reach the main thread alone, and the application runs in another"
        loop = asyncio.get_running_loop()
        if self._loop is not loop or not self._serving:
            # A server that was forced to stop has told nobody.
            self._give_back()
            self._serving.clear()
            self._reset()
            self._loop = loop
            for known in self.drains:
                known.end()
        if servers.reloads():
            return "a reloader must not wait"
        held = self._held.get(signal.SIGTERM, [])
        if not held or not held[0].current:
            # Of two servers in a process, the second replaces the handler of the first, and calls it when it is done.
            self._give_back()
            held = hold(signal.SIGTERM, loop, self._signalled)
            if not held:
                return "nobody here handles SIGTERM in a way that can wait"
            further = {number: hold(number, loop, self._signalled) for number in FURTHER}
            self._held = {signal.SIGTERM: held, **further}
        self._serving.append(drain)
        if self._began is not None:
            drain.begin()
        return None

    def leave(self, drain: Draining) -> None:
        """Forget that `drain` is served; the last puts the handlers back, and passes a signal on that still waits."""
        if drain not in self._serving:
            return
        self._serving.remove(drain)
        if self._serving:
            return
        waiting = self._began is not None and not self._passed
        self._stop_waiting()
        term = self._held.get(signal.SIGTERM, [])
        self._give_back()
        if waiting:
            _call(term)

    def _signalled(self, number: int) -> None:
        # Often between any two instructions of the main thread: no lock may be taken here, so nothing is logged.
        if self._began is None and (self._interrupted or number != signal.SIGTERM):
            self._interrupt(number)
        elif self._began is None:
            self._began = self._clock()
            for drain in self.drains:
                drain.begin()
            try:
                if self._loop is not None:
                    self._loop.call_soon_threadsafe(self._begin)
            except RuntimeError:  # the loop is closed: nobody will call
                self._pass_on()
        elif number == signal.SIGTERM and not self._echoed and self._comes_within(ECHO):
            self._echoed = True
        elif number == signal.SIGINT and self._comes_within(TOGETHER):
            self._pass_on()
        else:
            self._stop_now(number)

    def _interrupt(self, number: int) -> None:
        """Let the server stop as it does on SIGINT, and whatever its supervisor sends after that."""
        self._interrupted = True
        _call(self._held.get(number, []))
        if number == SIGQUIT and (server := self._server()) is not None:
            # uvicorn's worker for gunicorn takes no notice of SIGQUIT: the arbiter would kill it after 30 s.
            server.should_exit = True

    def _comes_within(self, seconds: float) -> bool:
        """Whether so short a time has passed since the first signal that a supervisor may have doubled it."""
        return self._began is not None and self._clock() - self._began < seconds and self._supervised()

    def _begin(self) -> None:
        if self._passed or self._began is None or self._loop is None:
            return
        seconds = max(drain.seconds for drain in self.drains)
        self._timer = self._later(self._loop, seconds, self._pass_on)
        self._serving[0].tell(seconds)

    def _pass_on(self) -> None:
        if not self._passed:
            self._passed = True
            self._stop_waiting()
            _call(self._held.get(signal.SIGTERM, []))

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stop_now(self, number: int) -> None:
        """Stop as the server does when it is told twice; where it knows no such thing, end by the signal."""
        self._pass_on()
        if (server := self._server()) is not None:
            server.force_exit = True
            return
        told = signal.SIGINT if number == signal.SIGTERM else number
        term, other = (self._held.get(which, []) for which in (signal.SIGTERM, told))
        if other and not servers.same(other, term):
            _call(other)
            return
        for drain in self._serving:
            drain.flush()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def _server(self) -> Any:
        """Return uvicorn's server, whose method handles signals."""
        return servers.forcible([*self._held.get(signal.SIGTERM, []), *self._held.get(signal.SIGINT, [])])

    def _give_back(self) -> None:
        for handlers in self._held.values():
            for handler in handlers:
                handler.restore()
        self._held = {}


def _call(handlers: list[Handler]) -> None:
    for handler in handlers:
        handler.call()


termination = Termination()
"""That of this process."""
