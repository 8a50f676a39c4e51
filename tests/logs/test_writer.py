"""How lines get out: through real pipes, files and sockets, whoever reads at the other end, or does not."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from belvedere import failures
from belvedere.logs import get_logger
from belvedere.logs import output as outputs
from belvedere.logs.file import LogFile
from belvedere.logs.sinks import BACKLOG, PIECE, Blocking, NonBlocking, Polled, Text
from belvedere.logs.stdout import Stdout
from belvedere.logs.writer import TURN_BYTES, Writer, _forget_all
from tests.logs.conftest import Start
from tests.logs.lines import line, parsed

PIPE_BYTES = 65_536
"""What a pipe holds by default (pipe(7))."""


class Pipe:
    """A real pipe in place of stdout, read only when asked."""

    def __init__(self) -> None:
        self.reader, self.descriptor = os.pipe()
        os.set_blocking(self.reader, False)
        self.stream = os.fdopen(self.descriptor, "w")

    def read(self) -> bytes:
        """Return what is in the pipe right now."""
        parts = []
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self.reader, PIPE_BYTES):
                parts.append(part)
        return b"".join(parts)

    def close(self) -> None:
        for close in (self.stream.close, lambda: os.close(self.reader)):
            with contextlib.suppress(OSError):
                close()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


def stdout(stream: Any, **options: Any) -> Stdout:
    """Return what a process has whose stdout is `stream`."""
    return Stdout(stream=lambda: stream, descriptor=stream.fileno(), **options)


@pytest.fixture
def writer(pipe: Pipe) -> Iterator[Writer]:
    """A writer whose stdout is the pipe, and which tells how many lines it dropped."""
    made = Writer(stdout(pipe.stream))
    made.notice = lambda dropped: b"dropped %d\n" % dropped
    yield made
    made.close()


def written(descriptor: int) -> list[bytes]:
    return list(iter(lambda: os.read(descriptor, PIPE_BYTES), b""))


async def turn() -> None:
    """Let the loop come round once."""
    await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until something is so."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)


# Turns of the loop.


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


async def test_a_long_turn_is_written_as_it_grows(pipe: Pipe, writer: Writer) -> None:
    """16 KiB do not wait for the end of their turn."""
    writer.write(b"x" * (TURN_BYTES - 2) + b"\n")
    assert pipe.read() == b""
    writer.write(b"y\n")
    assert len(pipe.read()) == TURN_BYTES + 1


async def test_errors_are_written_at_once(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    """An error takes with it what was logged before it in the same turn."""
    start()
    get_logger("app").info("first")
    assert capsys.readouterr().out == ""
    get_logger("app").error("second")
    assert parsed(capsys.readouterr().out) == [line("info", "app", "first"), line("error", "app", "second")]


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


# Slow readers.


def fill(pipe: Pipe) -> bytes:
    """Fill the pipe, and return with what."""
    os.set_blocking(pipe.descriptor, False)
    filling = b"." * PIPE_BYTES
    assert os.write(pipe.descriptor, filling) == PIPE_BYTES
    os.set_blocking(pipe.descriptor, True)
    return filling


async def test_a_stalled_reader_costs_nothing_but_memory_up_to_a_bound(pipe: Pipe, writer: Writer) -> None:
    """A mebibyte is kept, what is beyond it is dropped line by line and counted, the newest first."""
    filling = fill(pipe)
    one = b"x" * 999 + b"\n"
    started = time.perf_counter()
    for number in range(1100):
        writer.write(b"%04d" % number + one[4:])
        if number % 10 == 0:
            await turn()
    await turn()
    assert time.perf_counter() - started < 5
    kept = 1100 - writer.dropped
    # The piece that is being written comes on top.
    assert BACKLOG - 1000 < kept * 1000 <= BACKLOG + PIECE
    received = b""

    def everything() -> bool:
        nonlocal received
        received += pipe.read()
        return received.endswith(b"dropped %d\n" % writer.dropped)

    await until(everything)
    numbers = [int(text[:4]) for text in received.removeprefix(filling).splitlines()[:-1]]
    # The newest lines were dropped while there was no room, the oldest never.
    assert len(numbers) == kept
    assert numbers == list(range(kept))


async def test_what_was_kept_goes_out_when_the_reader_reads_again(pipe: Pipe, writer: Writer) -> None:
    """Without another line: the loop tells that there is room. Nothing was dropped, so nothing is said."""
    filling = fill(pipe)
    writer.write(b"1\n")
    await turn()
    writer.write(b"2\n")
    await turn()
    assert pipe.read() == filling
    received = b""

    def everything() -> bool:
        nonlocal received
        received += pipe.read()
        return received == b"1\n2\n"

    await until(everything)
    assert writer.dropped == 0


async def test_what_a_thread_could_not_write_goes_out_as_well(pipe: Pipe, writer: Writer) -> None:
    """A thread has no loop to wait in: the loop that logged last takes over."""
    writer.write(b"0\n")
    await turn()
    assert pipe.read() == b"0\n"
    filling = fill(pipe)
    await asyncio.to_thread(writer.write, b"1\n")
    assert pipe.read() == filling
    received = b""

    def everything() -> bool:
        nonlocal received
        received += pipe.read()
        return received == b"1\n"

    await until(everything)


async def test_a_long_line_is_finished_before_the_next(pipe: Pipe, writer: Writer) -> None:
    """A pipe takes a part of a line longer than it has room for; the rest comes first, whatever was logged since."""
    long = b"[" + b"x" * 200_000 + b"]\n"
    writer.write(long)
    await turn()
    writer.write(b"next\n")
    await turn()
    received = b""

    def everything() -> bool:
        nonlocal received
        received += pipe.read()
        return received.endswith(b"next\n")

    await until(everything)
    assert received == long + b"next\n"
    assert writer.dropped == 0


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
    assert [worker.wait(timeout=30) for worker in workers] == [0, 0]
    for name in ("a", "b"):
        assert [item["number"] for item in lines if item["service"] == name] == list(range(300))


def test_blocking_loses_nothing(pipe: Pipe) -> None:
    """With `on_full = "block"`, whoever logs waits for a slow reader."""
    writer = Writer(stdout(pipe.stream, block=True))
    filling = fill(pipe)

    def log() -> None:
        for _ in range(200):
            writer.write(b"x" * 9_999 + b"\n")

    logging_thread = threading.Thread(target=log)
    logging_thread.start()
    received = b""
    while len(received) < len(filling) + 2_000_000:
        select.select([pipe.reader], [], [], 10)
        received += pipe.read()
    logging_thread.join(10)
    assert received == filling + (b"x" * 9_999 + b"\n") * 200
    assert writer.dropped == 0
    writer.close()


def test_the_last_flush_waits_for_a_moment(pipe: Pipe, writer: Writer) -> None:
    """At the end there is no later: a reader who reads soon gets everything."""
    filling = fill(pipe)
    writer.write(b"last\n")
    received: list[bytes] = []
    reading = threading.Timer(0.05, lambda: received.append(pipe.read()))
    reading.start()
    writer.flush(5.0)
    reading.join()
    assert b"".join(received) + pipe.read() == filling + b"last\n"


def test_the_last_flush_does_not_wait_for_ever(pipe: Pipe, writer: Writer) -> None:
    """Whoever never reads delays the end by so long, and what is lost is counted."""
    fill(pipe)
    writer.write(b"1\n")
    writer.write(b"2\n")
    writer.flush(0.05)
    assert writer.dropped == 0
    writer.close()
    assert writer.dropped == 2


def test_a_reader_who_has_gone_breaks_nothing(pipe: Pipe, writer: Writer) -> None:
    """A broken pipe never raises; what nobody can read is counted."""
    os.close(pipe.reader)
    for _ in range(3):
        writer.write(b"lost\n")
    assert writer.dropped == 3
    pipe.reader = os.open(os.devnull, os.O_RDONLY)


def test_the_count_of_dropped_lines_is_a_line(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once reading goes on, `log_lines_dropped` tells how many are missing."""
    logs = start()
    active = outputs.active
    assert active is not None
    assert parsed(active.writer.notice(7)) == [line("warning", "belvedere", "log_lines_dropped", dropped=7)]
    monkeypatch.setattr(active.writer._stdout, "dropped", 3)
    assert logs.dropped == 3


async def test_a_loop_that_cannot_watch_is_no_harm(pipe: Pipe, writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the loop cannot tell of room in the pipe, the next line finds out."""

    def refuse(*_: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(asyncio.get_running_loop(), "add_writer", refuse)
    filling = fill(pipe)
    writer.write(b"1\n")
    await turn()
    assert pipe.read() == filling
    writer.write(b"2\n")
    await turn()
    assert pipe.read() == b"1\n2\n"


async def test_loops_take_over_from_each_other(pipe: Pipe, writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop that logged last waits for the reader, and none any more once the writer is closed."""
    monkeypatch.setattr("belvedere.logs.writer.WAIT", 0.01)

    async def log() -> None:
        writer.write(b"2\n")
        await turn()

    fill(pipe)
    writer.write(b"1\n")
    await turn()
    await asyncio.to_thread(asyncio.run, log())
    writer.write(b"3\n")
    await turn()
    await asyncio.to_thread(writer.close)
    await turn()
    assert writer.dropped == 3


async def test_closing_in_the_loop_stops_waiting(pipe: Pipe, writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody reads within a moment is lost, and counted."""
    monkeypatch.setattr("belvedere.logs.writer.WAIT", 0.01)
    fill(pipe)
    writer.write(b"1\n")
    await turn()
    writer.close()
    assert writer.dropped == 1


def test_a_failure_of_the_writer_is_contained(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong in writing, who logs does not learn of it."""

    def fail(*_: object) -> bool:
        raise RuntimeError("broken")

    monkeypatch.setattr(Stdout, "write", fail)
    writer.write(b"lost\n")
    assert failures.counts == {"logs": 1}


async def test_what_was_collected_can_be_forgotten(pipe: Pipe, writer: Writer) -> None:
    """As a forked child does: nothing of it is written, neither what waits for the turn nor for the reader."""
    filling = fill(pipe)
    writer.write(b"for the reader\n")
    await turn()
    writer.write(b"for the turn\n")
    _forget_all()
    writer.write(b"own\n")
    writer.flush()
    assert pipe.read() == filling
    writer.flush()
    assert pipe.read() == b"own\n"


# What stdout may be.


def test_a_pipe_is_opened_again_and_stays_blocking_for_others(pipe: Pipe, writer: Writer) -> None:
    """The flag that makes writes return at once is on a description of our own."""
    writer.write(b"1\n")
    sink = writer._stdout.sink()
    assert isinstance(sink, NonBlocking)
    assert not isinstance(sink, Polled)
    assert sink.descriptor != pipe.descriptor
    assert os.get_blocking(pipe.descriptor)
    assert not os.get_blocking(sink.descriptor or 0)
    writer.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(sink.descriptor or 0)


def test_where_a_pipe_cannot_be_opened_again_it_is_asked_first(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `/proc`, a pipe is polled before each piece; the descriptor keeps its mode, and stays open."""

    def refuse(*_: object) -> int:
        raise PermissionError

    writer = Writer(stdout(pipe.stream))
    with monkeypatch.context() as patched:
        patched.setattr("belvedere.logs.stdout.os.open", refuse)
        writer.write(b"1\n")
    assert isinstance(writer._stdout.sink(), Polled)
    assert pipe.read() == b"1\n"
    filling = fill(pipe)
    writer.write(b"2\n")
    assert pipe.read() == filling
    writer.write(b"3\n")
    assert pipe.read() == b"2\n3\n"
    assert os.get_blocking(pipe.descriptor)
    writer.close()
    assert os.fstat(pipe.descriptor)


async def test_a_socket_is_asked_first() -> None:
    """A socket as stdout, as under systemd or inetd, is never waited for, and resumed when it is read."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        writer = Writer(stdout(ours))
        one = b"x" * 4_000 + b"\n"
        for _ in range(500):
            writer.write(one)
            await turn()
        theirs.setblocking(False)
        received = b""

        def everything() -> bool:
            nonlocal received
            with contextlib.suppress(BlockingIOError):
                received += theirs.recv(1_000_000)
            return len(received) >= (500 - writer.dropped) * len(one)

        await until(everything)
        assert writer.dropped > 0
        assert received.startswith(one * (500 - writer.dropped))
        writer.close()


def test_a_file_is_written_without_further_ado(tmp_path: Path) -> None:
    """Stdout in a regular file: everything is in it, in one write."""
    with (tmp_path / "out").open("w") as stream:
        writer = Writer(stdout(stream))
        writer.write(b"x" * 100_000 + b"\n")
        assert isinstance(writer._stdout.sink(), Blocking)
        writer.close()
    assert (tmp_path / "out").read_bytes() == b"x" * 100_000 + b"\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_full_disk_breaks_nothing() -> None:
    """What cannot be written is counted."""
    with open("/dev/full", "w") as stream:  # noqa: PTH123 - no buffer may be flushed at its end
        writer = Writer(stdout(stream))
        writer.write(b"1\n")
        writer.write(b"2\n")
        assert writer.dropped == 2
        writer.close()


def test_a_terminal_that_does_not_block_is_waited_for(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """A parent may have made the terminal non-blocking: it is given a second, and then given up."""
    sink = Blocking(pipe.descriptor)
    filling = fill(pipe)
    os.set_blocking(pipe.descriptor, False)
    received: list[bytes] = []
    reading = threading.Timer(0.05, lambda: received.append(pipe.read()))
    reading.start()
    assert sink.write([b"1\n"]) == 0
    reading.join()
    assert b"".join(received) + pipe.read() == filling + b"1\n"
    assert fill(pipe) == filling
    os.set_blocking(pipe.descriptor, False)
    monkeypatch.setattr("belvedere.logs.sinks._writable", lambda *_: [])
    assert sink.write([b"1\n", b"2\n"]) == 2
    assert (sink.broken, sink.wait(1.0), sink.close()) == (True, 0, 0)
    sink.forget()


def test_a_replaced_stdout_is_written_as_text(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Notebooks, tests, whoever puts something else into `sys.stdout`, at any time: lines go where it goes."""
    start()
    first, second = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", first)
    get_logger("app").info("first ü")
    monkeypatch.setattr(sys, "stdout", second)
    get_logger("app").info("second")
    assert (parsed(first.getvalue()), parsed(second.getvalue())) == (
        [line("info", "app", "first ü")],
        [line("info", "app", "second")],
    )


def test_a_replacement_of_another_encoding_gets_escapes() -> None:
    """What a stream cannot encode is escaped, not lost."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, "ascii")
    assert Text(stream).write(["ü\n".encode()]) == 0
    assert raw.getvalue() == b"\\xfc\n"


@pytest.mark.parametrize(
    "stream", [None, object(), io.TextIOWrapper(io.BytesIO()).detach()], ids=["none", "odd", "bytes"]
)
def test_a_stdout_that_cannot_be_written_breaks_nothing(
    start: Start, monkeypatch: pytest.MonkeyPatch, stream: object
) -> None:
    """No stdout, something that is none, a closed one: lines are counted as dropped."""
    logs = start()
    monkeypatch.setattr(sys, "stdout", stream)
    get_logger("app").info("lost")
    get_logger("app").info("lost")
    assert logs.dropped == 2
    monkeypatch.setattr(sys, "stdout", text := io.StringIO())
    get_logger("app").info("back")
    assert parsed(text.getvalue()) == [
        line("info", "app", "back"),
        line("warning", "belvedere", "log_lines_dropped", dropped=2),
    ]
    assert failures.counts == {}


def test_a_descriptor_that_is_put_in_place_of_another_is_noticed(pipe: Pipe, tmp_path: Path) -> None:
    """A daemon redirects descriptor 1: within a second lines go there; a closed one is tried and counted."""
    now = [0.0]
    writer = Writer(stdout(pipe.stream, clock=lambda: now[0]))
    writer.write(b"1\n")
    with (tmp_path / "out").open("w") as other:
        os.dup2(other.fileno(), pipe.descriptor)
    now[0] = 0.5
    writer.write(b"2\n")
    now[0] = 1.5
    writer.write(b"3\n")
    assert pipe.read() == b"1\n2\n"
    assert (tmp_path / "out").read_bytes() == b"3\n"
    os.close(pipe.descriptor)
    now[0] = 3.0
    writer.write(b"4\n")
    assert writer.dropped == 1
    writer.close()


# Forks and ends.


def test_a_forked_child_does_not_write_its_parents_lines(pipe: Pipe) -> None:
    """What the parent had collected is written once; the child's lines are its own."""
    code = """if True:
        import asyncio, os
        from belvedere.logs import Logs, get_logger
        from belvedere.settings import Settings
        Logs(Settings(service="shop")).install()
        async def main():
            get_logger("app").info("parent")
            child = os.fork()
            get_logger("app").info("child" if child == 0 else "parent again")
            if child == 0:
                from belvedere.logs import output
                output.active.writer.flush()
                os._exit(0)
            os.waitpid(child, 0)
        asyncio.run(main())
    """
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], stdout=pipe.descriptor, check=True, timeout=30)
    events = [item["event"] for item in parsed(pipe.read())]
    assert events == ["child", "parent", "parent again"]


def test_everything_is_out_at_the_end_of_the_process(pipe: Pipe) -> None:
    """Lines of a turn that never came round are written at exit."""
    code = """if True:
        import asyncio, sys
        from belvedere.logs import Logs, get_logger
        from belvedere.settings import Settings
        Logs(Settings(service="shop")).install()
        loop = asyncio.new_event_loop()
        loop.call_soon(lambda: (get_logger("app").info("last"), loop.stop()))
        loop.run_forever()
        loop.close()
        sys.exit(3)
    """
    ended = subprocess.run([sys.executable, "-c", code], stdout=pipe.descriptor, check=False, timeout=30)
    assert ended.returncode == 3
    assert [item["event"] for item in parsed(pipe.read())] == ["last"]


def test_a_closed_stdout_breaks_nothing() -> None:
    """A process without descriptor 1 logs nowhere, and runs on."""
    code = """if True:
        from belvedere.logs import Logs, get_logger
        from belvedere.settings import Settings
        logs = Logs(Settings(service="shop"))
        logs.install()
        get_logger("app").info("lost")
        raise SystemExit(logs.dropped)
    """
    ended = subprocess.run(["sh", "-c", 'exec "$0" -c "$1" >&-', sys.executable, code], check=False, timeout=30)
    assert ended.returncode == 1


async def test_flush_writes_what_was_collected(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    """`flush` does not wait for the turn."""
    logs = start()
    get_logger("app").info("now")
    logs.flush()
    assert parsed(capsys.readouterr().out) == [line("info", "app", "now")]


# The file.


def test_a_file_gets_every_line_as_well(start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its folder is made, what was in it stays, and it holds JSON also when people read stdout."""
    path = tmp_path / "logs" / "app.log"
    logs = start(path=str(path))
    get_logger("app").info("first")
    logs.remove()
    logs = start(path=str(path), format="console")
    get_logger("app").info("second")
    assert logs.access is not None
    logs.remove()
    assert parsed(path.read_bytes()) == [line("info", "app", "first"), line("info", "app", "second")]
    assert "second" in capsys.readouterr().out


def test_a_rotated_file_is_begun_anew(tmp_path: Path) -> None:
    """When logrotate has moved the file away, or somebody deleted it, lines go to a new one within a second."""
    path = tmp_path / "app.log"
    now = [0.0]
    file = LogFile(str(path), clock=lambda: now[0])
    file.write(b"1\n")
    path.rename(tmp_path / "app.log.1")
    now[0] = 0.9
    file.write(b"2\n")
    now[0] = 1.9
    file.write(b"3\n")
    now[0] = 2.95
    file.write(b"4\n")
    path.unlink()
    now[0] = 4.0
    file.write(b"5\n")
    path.rename(tmp_path / "app.log.2")
    path.write_bytes(b"theirs\n")
    now[0] = 5.1
    file.write(b"6\n")
    file.close()
    file.close()
    assert (tmp_path / "app.log.1").read_bytes() == b"1\n2\n"
    assert (tmp_path / "app.log.2").read_bytes() == b"5\n"
    assert path.read_bytes() == b"theirs\n6\n"


def test_a_file_that_cannot_be_opened_stops_nothing(
    start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is reported once, stdout gets every line, and the file as soon as it can be opened."""
    (tmp_path / "file").write_text("")
    start(path=str(tmp_path / "file" / "app.log"))
    get_logger("app").info("here")
    written = parsed(capsys.readouterr().out)
    assert [item["event"] for item in written] == ["here", "internal_error"]
    assert failures.counts == {"logs": 1}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_file_that_cannot_be_written_stops_nothing() -> None:
    """A full disk is counted as a failure of ours."""
    file = LogFile("/dev/full")
    file.write(b"1\n")
    file.close()
    assert failures.counts == {"logs": 1}
