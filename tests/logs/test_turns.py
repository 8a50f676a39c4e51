"""When lines get out: by turns of the loop, at once without one, and each in one piece."""

from __future__ import annotations

import asyncio
import json
import os
import select
import subprocess
import sys
import threading
from typing import Any

import pytest

from belvedere import failures
from belvedere.logs import get_logger
from belvedere.logs import output as outputs
from belvedere.logs.sinks import PIECE, NonBlocking
from belvedere.logs.stdout import Stdout
from belvedere.logs.writer import BUSY, TURN_BYTES, TURNS, Writer
from tests.logs.conftest import Start
from tests.logs.lines import line, parsed
from tests.logs.pipes import Pipe, stdout, turn, until, written


async def test_lines_of_one_turn_are_written_together(pipe: Pipe, writer: Writer) -> None:
    """Nothing is written until the loop has come round, then everything at once."""
    for number in range(3):
        writer.write(b"%d\n" % number)
    assert pipe.read() == b""
    await turn()
    assert pipe.read() == b"0\n1\n2\n"
    writer.write(b"3\n")
    await turn()
    assert pipe.read() == b"3\n"


async def test_many_lines_wait_for_others_by_a_timer(
    pipe: Pipe, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy service's lines go out together some time later, and no turns of the loop are spent on waiting; a quiet
    one's do not wait, nor do those after all was written out, as at the end."""
    monkeypatch.setattr("belvedere.logs.writer.BUSY_SECONDS", 300.0)
    loop, ahead = asyncio.get_running_loop(), [0.0]
    clock = loop.time
    monkeypatch.setattr(loop, "time", lambda: clock() + ahead[0])
    turns: list[int] = []
    count = Writer._turn

    def counted(self: Writer, loop: asyncio.AbstractEventLoop) -> None:
        turns.append(1)
        count(self, loop)

    monkeypatch.setattr(Writer, "_turn", counted)
    for number in range(BUSY):
        writer.write(b"%d\n" % number)
    for _ in range(TURNS + 2):
        await asyncio.sleep(0)
    writer.write(b"later\n")
    assert pipe.read() == b""
    ahead[0] += 300.0
    received: list[bytes] = []

    def arrived() -> bool:
        received.append(pipe.read())
        return b"later\n" in b"".join(received)

    await until(arrived)
    assert b"".join(received) == b"0\n1\n2\n3\nlater\n"
    assert len(turns) == 1
    writer.write(b"next\n")
    for _ in range(TURNS + 2):
        await asyncio.sleep(0)
    assert pipe.read() == b""
    ahead[0] += 300.0
    await until(lambda: pipe.read() == b"next\n")
    for number in range(BUSY):
        writer.write(b"%d\n" % number)
    writer.flush(1.0)
    writer.write(b"last words\n")
    for _ in range(TURNS + 2):
        await asyncio.sleep(0)
    assert pipe.read() == b"0\n1\n2\n3\nlast words\n"
    writer.write(b"quiet again\n")
    for _ in range(TURNS + 2):
        await asyncio.sleep(0)
    assert pipe.read() == b"quiet again\n"


async def test_a_thread_writes_while_the_loop_finds_out_what_stdout_is(
    pipe: Pipe, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first lines of both are written: neither finds a stdout that is half known."""
    finding, go_on = threading.Event(), threading.Event()
    find = Stdout._find

    def slowly(found: Stdout, stream: Any) -> Any:
        finding.set()
        go_on.wait(30)
        return find(found, stream)

    monkeypatch.setattr(Stdout, "_find", slowly)

    def thread() -> None:
        finding.wait(30)
        writer.write(b"thread\n")

    other = threading.Thread(target=thread)
    other.start()
    # Long enough for a thread that does not wait for the loop; one that does is let go by the timer.
    threading.Timer(0.3, go_on.set).start()
    writer.write(b"loop\n")
    await turn()
    other.join(30)
    assert sorted(pipe.read().splitlines()) == [b"loop", b"thread"]
    assert writer.dropped == 0


async def test_a_long_turn_is_written_as_it_grows(pipe: Pipe, writer: Writer) -> None:
    """16 KiB do not wait for the end of their turn."""
    writer.write(b"x" * (TURN_BYTES - 2) + b"\n")
    assert pipe.read() == b""
    writer.write(b"y\n")
    assert len(pipe.read()) == TURN_BYTES + 1


async def test_what_stands_in_for_stdout_gets_each_line_at_once(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    """A test that captures its output finds there what was logged, without giving the loop another turn."""
    start()
    get_logger("app").info("first")
    assert parsed(capsys.readouterr().out) == [line("info", "app", "first")]


async def test_errors_are_written_at_once(start: Start, pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error takes with it what was logged before it in the same turn."""
    start()
    active = outputs.active
    assert active is not None
    monkeypatch.setattr(active, "writer", Writer(stdout(pipe.stream)))
    get_logger("app").info("first")
    assert pipe.read() == b""
    get_logger("app").error("second")
    assert parsed(pipe.read().decode()) == [line("info", "app", "first"), line("error", "app", "second")]
    active.writer.close()


def test_without_a_loop_lines_are_written_at_once(pipe: Pipe, writer: Writer) -> None:
    """A script, a thread: there is no turn to wait for."""
    writer.write(b"1\n")
    assert pipe.read() == b"1\n"


async def test_lines_of_threads_are_written_at_once_and_whole(pipe: Pipe, writer: Writer) -> None:
    """Lines of many threads and of the loop all arrive, each in one piece, in the order of each thread."""
    received: list[bytes] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            if select.select([pipe.reader], [], [], 0.05)[0]:
                received.append(pipe.read())

    def log(name: bytes) -> None:
        for number in range(500):
            writer.write(b"%s %d %s\n" % (name, number, b"x" * 50))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        names = [b"a", b"b", b"c", b"d"]
        tasks = [asyncio.create_task(asyncio.to_thread(log, name)) for name in names[:3]]
        for number in range(500):
            writer.write(b"d %d %s\n" % (number, b"x" * 50))
            if number % 50 == 0:
                await turn()
        await asyncio.gather(*tasks)
        await asyncio.to_thread(writer.flush, 5.0)
    finally:
        done.set()
        reader.join()
    received.append(pipe.read())
    lines = b"".join(received).splitlines()
    for name in names:
        assert [one for one in lines if one.startswith(name)] == [
            b"%s %d %s" % (name, n, b"x" * 50) for n in range(500)
        ]
    assert len(lines) == 2000
    assert writer.dropped == 0


async def test_each_loop_has_its_own_turns(pipe: Pipe, writer: Writer) -> None:
    """A line in another thread's loop does not wait for the turn of this one."""

    async def log() -> None:
        writer.write(b"other\n")
        await turn()

    writer.write(b"this\n")
    await asyncio.to_thread(asyncio.run, log())
    assert pipe.read() == b"this\nother\n"


def test_a_loop_that_ends_leaves_nothing_behind(pipe: Pipe, writer: Writer) -> None:
    """What is logged in the last turn of a loop is written, and so is what the next loop logs."""

    async def log(text: bytes) -> None:
        writer.write(text)

    for text in (b"1\n", b"2\n"):
        asyncio.run(log(text))
        assert pipe.read() == text
    loop = asyncio.new_event_loop()
    loop.call_soon(writer.write, b"3\n")
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    assert pipe.read() == b""
    writer.write(b"4\n")
    assert pipe.read() == b"3\n4\n"


def test_logging_while_writing_does_not_lock_up(pipe: Pipe, writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal handler or a destructor that logs in the midst of a write: its line follows."""
    put = NonBlocking._put
    told: list[bool] = []

    def interrupted(self: NonBlocking, data: Any) -> int:
        if not told:
            told.append(True)
            writer.write(b"from a handler\n")
        return put(self, data)

    monkeypatch.setattr(NonBlocking, "_put", interrupted)
    writer.write(b"first\n")
    assert pipe.read() == b"first\nfrom a handler\n"


async def test_writes_are_whole_lines_that_a_pipe_takes_whole(
    pipe: Pipe, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines of several processes never mix: a write is at most 4,096 bytes and ends with a line, a long line alone."""
    writes: list[bytes] = []
    put = NonBlocking._put

    def recorded(self: NonBlocking, data: Any) -> int:
        writes.append(bytes(data))
        return put(self, data)

    monkeypatch.setattr(NonBlocking, "_put", recorded)
    lines = [b"%03d" % number + b"x" * 300 + b"\n" for number in range(50)]
    lines.insert(20, b"L" * 5_000 + b"\n")
    for one in lines:
        writer.write(one)
    await turn()
    assert b"".join(writes) == b"".join(lines) == pipe.read()
    assert all(text.endswith(b"\n") for text in writes)
    assert [len(text) for text in writes if len(text) > PIECE] == [5_001]
    assert len(writes) < 10


def test_two_processes_on_one_pipe_do_not_mix() -> None:
    """Workers share stdout: each of their lines arrives whole."""
    code = """if True:
        import sys
        from belvedere.logs import Logs, get_logger
        from belvedere.settings import Settings
        logs = Logs(Settings(service=sys.argv[1], logs={"on_full": "block"}))
        logs.install()
        for number in range(300):
            get_logger("app").info("e" * (number * 7 % 3000), number=number)
    """
    reader, descriptor = os.pipe()
    workers = [subprocess.Popen([sys.executable, "-c", code, name], stdout=descriptor) for name in ("a", "b")]
    os.close(descriptor)
    lines = [json.loads(text) for text in b"".join(written(reader)).splitlines()]
    os.close(reader)
    assert [worker.wait(timeout=60) for worker in workers] == [0, 0]
    for name in ("a", "b"):
        assert [item["number"] for item in lines if item["service"] == name] == list(range(300))


def test_a_failure_of_the_writer_is_contained(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong in writing, who logs does not learn of it."""

    def fail(*_: object) -> bool:
        raise RuntimeError("broken")

    monkeypatch.setattr(Stdout, "write", fail)
    writer.write(b"lost\n")
    assert failures.counts == {"logs": 1}
