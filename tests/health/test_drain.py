"""What a process does on SIGTERM, with the waiting in the test's hands; real servers are in tests/processes/."""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop

from belvedere.health import Drain, Health
from belvedere.health.termination import Termination
from belvedere.settings import Settings
from tests.health.conftest import Clock, Line, Log

LOOPS = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
NewLoop = Callable[[], asyncio.AbstractEventLoop]


class Waits(list[tuple[float, Callable[[], None]]]):
    """Stands for the loop's `call_later`: keeps what is to be called, and after how long."""

    def __call__(self, loop: Any, seconds: float, call: Callable[[], None]) -> Waits:
        self.append((seconds, call))
        return self

    def cancel(self) -> None:
        """Nothing: the tests call what they want called."""

    def over(self) -> None:
        """Call what waits, as if its time had come."""
        for _, call in list(self):
            call()


class Stopped(list[str]):
    """A server that is told to stop, as uvicorn's is."""

    should_exit = force_exit = False
    config: Any = None

    def handle_exit(self, number: int, frame: object) -> None:
        self.append(signal.Signals(number).name)


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def process(waits: Waits, clock: Clock) -> Termination:
    return Termination(waits, clock, lambda: False)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Every test leaves the signals' handlers as they were."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def drain(process: Termination, log: Log | None = None, **settings: Any) -> tuple[Drain, Health]:
    of = Settings(**{"environment": "production", **settings})
    health = Health(of)
    return Drain(of, health, log, process=process), health


def run(new_loop: NewLoop, main: Any) -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main)


async def turns() -> None:
    """Let the loop hear of signals and call back."""
    for _ in range(5):
        await asyncio.sleep(0.001)


@LOOPS
def test_the_server_is_told_after_the_wait(new_loop: NewLoop, process: Termination, waits: Waits, log: Log) -> None:
    """On SIGTERM readiness is gone at once, one event tells for how long; the server's handler is called after that."""
    server = Stopped()

    async def main() -> None:
        signal.signal(signal.SIGTERM, server.handle_exit)
        one, health = drain(process, log, health={"drain": 3})
        await one.start()
        signal.raise_signal(signal.SIGTERM)
        assert (health.draining, server) == (True, [])
        await turns()
        assert log == [Line("info", "draining", {"seconds": 3.0})]
        assert [seconds for seconds, _ in waits] == [3.0]
        assert server == []
        waits.over()
        assert server == ["SIGTERM"]
        await one.stop()
        assert signal.getsignal(signal.SIGTERM) == server.handle_exit

    run(new_loop, main())


@LOOPS
@pytest.mark.parametrize("when", ["while it waits", "afterwards"])
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_second_signal_forces_the_server(
    new_loop: NewLoop, second: signal.Signals, when: str, process: Termination, waits: Waits
) -> None:
    """Whichever comes second, and whether the wait is over or not: the server is told, and forced."""
    server = Stopped()

    async def main() -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, server.handle_exit)
        one, _ = drain(process)
        await one.start()
        signal.raise_signal(signal.SIGTERM)
        await turns()
        if when == "afterwards":
            waits.over()
        signal.raise_signal(second)
        await turns()
        assert (server, server.force_exit) == (["SIGTERM"], True)
        waits.over()
        assert server == ["SIGTERM"]
        await one.stop()
        assert signal.getsignal(second) == server.handle_exit

    run(new_loop, main())


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGQUIT])
def test_an_interrupt_does_not_wait(first: signal.Signals, process: Termination, waits: Waits, log: Log) -> None:
    """Its own handler is called at once, and SIGTERM's is for a SIGTERM that comes after it."""
    server = Stopped()

    async def main() -> None:
        for number in (signal.SIGTERM, first):
            signal.signal(number, server.handle_exit)
        one, health = drain(process, log)
        await one.start()
        signal.raise_signal(first)
        signal.raise_signal(signal.SIGTERM)
        await turns()
        assert server == [first.name, "SIGTERM"]
        assert (server.force_exit, health.draining, waits, log) == (False, False, [], [])
        assert server.should_exit is (first is signal.SIGQUIT)
        await one.stop()
        assert signal.getsignal(first) == server.handle_exit

    asyncio.run(main())


@LOOPS
def test_a_callback_of_the_loop_is_held_and_put_back(new_loop: NewLoop, process: Termination, waits: Waits) -> None:
    """A handler that lives in the loop gets its arguments after the wait, and SIGINT's its own on a second signal."""
    told: list[object] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, told.append, "stop")
        loop.add_signal_handler(signal.SIGINT, told.extend, ["stop now"])
        table = in_loop(loop)
        before = dict(table)
        one, health = drain(process)
        await one.start()
        os.kill(os.getpid(), signal.SIGTERM)
        await turns()
        assert (health.draining, told) == (True, [])
        waits.over()
        assert told == ["stop"]
        os.kill(os.getpid(), signal.SIGTERM)
        await turns()
        assert told == ["stop", "stop now"]
        await one.stop()
        assert table == before
        os.kill(os.getpid(), signal.SIGTERM)
        await turns()
        assert told[-1] == "stop"

    run(new_loop, main())


@pytest.mark.parametrize("reload", [True, False])
def test_a_wrapped_handler(reload: bool, process: Termination, waits: Waits) -> None:
    """The server behind a handler is known through what wraps it: it is forced, and that it reloads is seen."""
    server = Stopped()
    server.config = SimpleNamespace(should_reload=reload)

    @functools.wraps(server.handle_exit)
    def wrapped(number: int, frame: object) -> None:
        server.handle_exit(number, frame)

    async def main() -> None:
        signal.signal(signal.SIGTERM, wrapped)
        one, _ = drain(process)
        await one.start()
        assert (signal.getsignal(signal.SIGTERM) is wrapped) is reload
        assert one.why == ("does not drain: a reloader must not wait" if reload else "drains for 5 s on SIGTERM")
        if not reload:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)
            assert (server, server.force_exit) == (["SIGTERM"], True)
        await one.stop()

    asyncio.run(main())


@LOOPS
def test_both_kinds_of_handler_at_once(new_loop: NewLoop, process: Termination, waits: Waits) -> None:
    """A program's own callback in the loop beside a server's handler: both wait, one signal is no second one."""
    server = Stopped()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, server.append, "the program's")
        signal.signal(signal.SIGTERM, server.handle_exit)
        before = dict(in_loop(loop))
        one, _ = drain(process)
        await one.start()
        os.kill(os.getpid(), signal.SIGTERM)
        await turns()
        assert server == []
        waits.over()
        assert (server, server.force_exit) == (["SIGTERM", "the program's"], False)
        await one.stop()
        assert (signal.getsignal(signal.SIGTERM), in_loop(loop)) == (server.handle_exit, before)

    run(new_loop, main())


@LOOPS
def test_several_applications_share_one_handler(new_loop: NewLoop, process: Termination, waits: Waits) -> None:
    """All drain, those without a lifespan of their own too; the longest wait counts, and the server is told once."""
    server = Stopped()

    async def main() -> None:
        signal.signal(signal.SIGTERM, server.handle_exit)
        applications = [drain(process, health={"drain": seconds}) for seconds in (1, 4, 2)]
        mounted, first, second = (one for one, _ in applications)
        await first.start()
        await second.start()
        await second.stop()
        await second.start()
        signal.raise_signal(signal.SIGTERM)
        await turns()
        assert [health.draining for _, health in applications] == [True] * 3
        assert [seconds for seconds, _ in waits] == [4.0]
        waits.over()
        await second.stop()
        await first.stop()
        assert server == ["SIGTERM"]
        assert (mounted.seconds, signal.getsignal(signal.SIGTERM)) == (1.0, server.handle_exit)

    run(new_loop, main())


def test_removed_while_it_waits(process: Termination, waits: Waits) -> None:
    """What ends before its time passes the signal on at once, and is in traffic again."""
    server = Stopped()

    async def main() -> None:
        signal.signal(signal.SIGTERM, server.handle_exit)
        one, health = drain(process)
        await one.start()
        signal.raise_signal(signal.SIGTERM)
        await turns()
        one.remove()
        assert (server, health.draining) == (["SIGTERM"], False)
        waits.over()
        assert server == ["SIGTERM"]
        assert signal.getsignal(signal.SIGTERM) == server.handle_exit

    asyncio.run(main())


@pytest.mark.parametrize("elsewhere", [True, False])
def test_replaced_since(elsewhere: bool, process: Termination) -> None:
    """A handler that somebody put over ours stays at removal; when it calls ours, that only passes on."""
    server = Stopped()

    async def main() -> None:
        signal.signal(signal.SIGTERM, server.handle_exit)
        one, health = drain(process)
        await one.start()
        ours: Any = signal.getsignal(signal.SIGTERM)

        def theirs(number: int, frame: object) -> None:
            server.append("theirs")
            ours(number, frame)

        if not elsewhere:
            signal.signal(signal.SIGTERM, theirs)
            one.remove()
            assert signal.getsignal(signal.SIGTERM) is theirs
        else:
            # Not in the main thread: there ours cannot be taken off, and passes on.
            thread = threading.Thread(target=one.remove)
            thread.start()
            thread.join()
        signal.raise_signal(signal.SIGTERM)
        assert server == (["SIGTERM"] if elsewhere else ["theirs", "SIGTERM"])
        assert not health.draining

    asyncio.run(main())


def test_nothing_is_touched(process: Termination) -> None:
    """Without seconds, with nobody who handles SIGTERM, or in another thread than the main one."""
    server = Stopped()

    async def start(one: Drain) -> None:
        await one.start()

    async def main() -> None:
        unhandled, _ = drain(process)
        await unhandled.start()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        assert "nobody here handles SIGTERM" in unhandled.why
        signal.signal(signal.SIGTERM, server.handle_exit)
        for settings in ({"health": {"drain": 0}}, {"environment": "local"}):
            none, _ = drain(process, **settings)
            await none.start()
            assert none.why == ""
            await none.stop()
        elsewhere, _ = drain(process)
        thread = threading.Thread(target=lambda: asyncio.run(start(elsewhere)))
        thread.start()
        thread.join()
        assert "main thread" in elsewhere.why
        assert signal.getsignal(signal.SIGTERM) == server.handle_exit
        unhandled.remove()

    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    asyncio.run(main())


def test_a_copy_of_the_first_signal(waits: Waits, clock: Clock) -> None:
    """Where the supervisor signals as well, one SIGTERM within a second after the first is no second signal."""
    process = Termination(waits, clock, lambda: True)
    server = Stopped()

    async def main() -> None:
        signal.signal(signal.SIGTERM, server.handle_exit)
        one, _ = drain(process)
        await one.start()
        for so_far in ([], [], ["SIGTERM"]):
            signal.raise_signal(signal.SIGTERM)
            await turns()
            clock.seconds += 0.5
            assert server == so_far
        assert server.force_exit
        await one.stop()

    asyncio.run(main())


def test_an_interrupt_that_the_supervisor_doubled(waits: Waits, clock: Clock, log: Log) -> None:
    """Ctrl-C reaches worker and supervisor; where the latter's SIGTERM is handled first, nothing waits or is forced."""
    process = Termination(waits, clock, lambda: True)
    server = Stopped()

    async def main() -> None:
        signal.signal(signal.SIGTERM, server.handle_exit)
        one, _ = drain(process, log)
        await one.start()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        await turns()
        assert (server, server.force_exit, log, waits) == (["SIGTERM"], False, [], [])
        await one.stop()

    asyncio.run(main())


def test_served_again(process: Termination, waits: Waits) -> None:
    """A program that starts its server anew, after one that was forced to stop and told nobody, drains again."""
    server = Stopped()

    async def main() -> None:
        signal.signal(signal.SIGTERM, server.handle_exit)
        await one.start()
        seen = [health.draining]
        signal.raise_signal(signal.SIGTERM)
        await turns()
        assert [*seen, health.draining] == [False, True]
        waits.over()
        waits.clear()

    one, health = drain(process)
    asyncio.run(main())
    asyncio.run(main())
    assert server == ["SIGTERM", "SIGTERM"]


def test_a_second_server_in_the_same_program(process: Termination, waits: Waits) -> None:
    """Its handler took the place of ours, and calls it when done: both servers wait, and each is told once."""
    first, second = Stopped(), Stopped()

    async def main() -> None:
        signal.signal(signal.SIGTERM, first.handle_exit)
        one, _ = drain(process)
        await one.start()
        replaced = signal.getsignal(signal.SIGTERM)
        signal.signal(signal.SIGTERM, second.handle_exit)
        other, _ = drain(process)
        await other.start()
        signal.raise_signal(signal.SIGTERM)
        await turns()
        assert (first, second) == ([], [])
        waits.over()
        assert (first, second) == ([], ["SIGTERM"])
        # What uvicorn does at its end.
        signal.signal(signal.SIGTERM, replaced)
        signal.raise_signal(signal.SIGTERM)
        assert (first, first.force_exit) == (["SIGTERM"], False)

    asyncio.run(main())


def test_a_forked_process_does_not_drain(process: Termination) -> None:
    """It inherits the handler, but neither server nor loop: there the signal is passed on at once."""
    server = Stopped()

    async def main() -> None:
        signal.signal(signal.SIGTERM, server.handle_exit)
        one, health = drain(process)
        await one.start()
        child = os.fork()
        if child == 0:
            signal.raise_signal(signal.SIGTERM)
            os._exit(0 if (server, health.draining) == (["SIGTERM"], False) else 1)
        assert (await asyncio.to_thread(os.waitpid, child, 0))[1] == 0
        await one.stop()

    asyncio.run(main())


def in_loop(loop: asyncio.AbstractEventLoop) -> dict[int, Any]:
    """Return the table of the loop's callbacks for signals."""
    known = getattr(loop, "_signal_handlers", None)
    tables = [known] if known is not None else [found for found in gc.get_referents(loop) if isinstance(found, dict)]
    return next(table for table in tables if hasattr(table.get(signal.SIGTERM), "cancelled"))
