"""What a process does on SIGTERM, with the waiting in the test's hands; real servers are in tests/processes/."""

from __future__ import annotations

import asyncio
import signal

import pytest

from belvedere.health.termination import Termination
from tests.health.conftest import Clock, Line, Log, Waits
from tests.health.termination import LOOPS, NewLoop, Stopped, drain, run, turns

pytestmark = pytest.mark.usefixtures("handlers")


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
