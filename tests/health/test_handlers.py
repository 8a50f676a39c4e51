"""Whose handlers a process has for SIGTERM: each is held, called after the wait, and put back."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from belvedere.health import Drain
from belvedere.health.termination import Termination
from tests.health.conftest import Waits
from tests.health.termination import LOOPS, NewLoop, Stopped, drain, in_loop, run, turns

pytestmark = pytest.mark.usefixtures("handlers")


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
