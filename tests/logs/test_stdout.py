"""Where lines go: through real pipes, files and sockets, until the end of the process."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
import logging
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from belvedere import failures
from belvedere.logs import get_logger
from belvedere.logs.sinks import Blocking, NonBlocking, Polled, Text
from belvedere.logs.stream_socket import StreamSocket
from belvedere.logs.writer import Writer, _forget_all
from tests.logs.conftest import Start
from tests.logs.lines import line, parsed
from tests.logs.pipes import Pipe, fill, stdout, turn, until


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


def test_a_longer_line_is_in_a_socket_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there at the end of the process are whole lines; short ones follow in their order."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        writer = Writer(stdout(ours))
        long = b"L" * 100_000 + b"\n"
        for _ in range(5):
            writer.write(long)
            writer.write(b"short\n")
        assert isinstance(writer._stdout.sink(), StreamSocket)
        assert ours.getblocking()
        theirs.setblocking(False)
        received = b""
        with contextlib.suppress(BlockingIOError):
            while part := theirs.recv(1_000_000):
                received += part
        assert received == (long + b"short\n") * received.count(b"short\n") + long * (
            received.count(b"L\n") - received.count(b"short\n")
        )
        assert 0 < received.count(b"L\n") < 5
        monkeypatch.setattr("belvedere.logs.writer.WAIT", 0.0)
        writer.close()
        with contextlib.suppress(BlockingIOError):
            while part := theirs.recv(1_000_000):
                received += part
        assert received.endswith(b"\n")
        assert received.count(b"\n") + writer.dropped == 10
        assert os.fstat(ours.fileno())


async def test_a_line_longer_than_a_socket_holds_goes_out_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is begun when the socket is empty, and finished before the next; where nothing tells how full it is, at
    once."""
    for blind in (False, True):
        ours, theirs = socket.socketpair()
        with ours, theirs, monkeypatch.context() as patched:
            if blind:

                def refuse(*_: object) -> int:
                    raise OSError

                patched.setattr("belvedere.logs.stream_socket.fcntl.ioctl", refuse)
                patched.setattr("belvedere.logs.stream_socket.fcntl.lockf", refuse)
            theirs.setblocking(False)
            writer = Writer(stdout(ours))
            lines = [b"0\n", b"L" * 900_000 + b"\n", b"1\n"]
            for one in lines:
                writer.write(one)
            await turn()
            received = b""

            def everything(theirs: socket.socket = theirs) -> bool:
                nonlocal received
                with contextlib.suppress(BlockingIOError):
                    received += theirs.recv(1_000_000)
                return received.endswith(b"1\n")

            await until(everything)
            assert received == b"".join(lines)
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
    """A parent may have made a descriptor non-blocking: it is given a second, and then given up."""
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


async def test_a_terminal_that_nobody_looks_at_is_not_waited_for() -> None:
    """Stopped by Ctrl-S, or a container's whose reader stalls: lines are kept, and go out when it is read again."""
    ours, theirs = os.openpty()
    os.set_blocking(ours, False)
    with os.fdopen(theirs, "w") as stream:
        writer = Writer(stdout(stream))
        one = b"x" * 998 + b"\n"
        for _ in range(2_000):
            writer.write(one)
        await turn()
        assert os.get_blocking(theirs)
        assert writer.dropped > 0
        received = b""

        def everything() -> bool:
            nonlocal received
            with contextlib.suppress(BlockingIOError):
                received += os.read(ours, 65_536).replace(b"\r\n", b"\n")
            return len(received) >= (2_000 - writer.dropped) * len(one)

        await until(everything)
        assert received == one * (2_000 - writer.dropped)
        writer.close()
    os.close(ours)


def test_a_line_that_a_full_disk_took_in_part_is_finished_first(tmp_path: Path) -> None:
    """No half line in the middle of a file: what was begun is finished when there is room, the rest is counted."""
    with (tmp_path / "out").open("wb") as file:
        sink = Blocking(file.fileno())
        room = [5]

        def put(data: memoryview) -> int:
            if not room[0]:
                raise OSError(errno.ENOSPC, "full")
            taken = os.write(file.fileno(), data[: room[0]])
            room[0] -= taken
            return taken

        sink._put = put  # type: ignore[method-assign]
        assert sink.write([b"one\n", b"two\n", b"three\n"]) == 1
        assert sink.write([b"four\n"]) == 1
        room[0] = 1
        assert sink.write([b"five\n"]) == 1
        room[0] = 100
        assert sink.write([b"six\n"]) == 0
    assert (tmp_path / "out").read_bytes() == b"one\ntwo\nsix\n"


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
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], stdout=pipe.descriptor, check=True, timeout=240)
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
    ended = subprocess.run([sys.executable, "-c", code], stdout=pipe.descriptor, check=False, timeout=240)
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
    ended = subprocess.run(["sh", "-c", 'exec "$0" -c "$1" >&-', sys.executable, code], check=False, timeout=240)
    assert ended.returncode == 1


async def test_flush_writes_what_was_collected(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    """`flush` does not wait for the turn."""
    logs = start()
    get_logger("app").info("now")
    logs.flush()
    assert parsed(capsys.readouterr().out) == [line("info", "app", "now")]


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


class Logged:
    """Stands in for `sys.stdout` as many programs have it: what is printed goes to a logger."""

    def write(self, text: str) -> int:
        for row in text.rstrip().splitlines():
            logging.getLogger("printed").info(row.rstrip())
        return len(text)

    def flush(self) -> None:
        pass


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_stdout_that_logs_what_is_written_to_it(
    start: Start, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], asynchronous: bool
) -> None:
    """Lines go past it, to the stdout that the process began with, each once; what is printed is a line as well."""
    stream = Logged()
    monkeypatch.setattr(sys, "stdout", stream)
    logs = start(format="json")

    def log() -> None:
        logging.getLogger("lib").info("first")
        print("hello")
        get_logger("app").warning("last")

    if asynchronous:
        log()
        await turn()
    else:
        await asyncio.to_thread(log)
    logs.flush()
    assert parsed(capfd.readouterr().out) == [
        line("info", "lib", "first"),
        line("info", "printed", "hello"),
        line("warning", "app", "last"),
    ]
    logs.remove()


def test_nothing_is_written_where_every_stdout_logs(
    start: Start, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Where the first stdout has been replaced as well, lines are dropped and counted, and nobody waits for them."""
    monkeypatch.setattr(sys, "stdout", Logged())
    monkeypatch.setattr(sys, "__stdout__", Logged())
    logs = start(format="json")
    logging.getLogger("lib").info("nowhere")
    assert logs.dropped
    assert capfd.readouterr().out == ""
    logs.remove()


def test_a_stdout_that_logs_once_stays(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that logs now and then while it is written to, as by a signal's handler, is written to all the same."""
    written: list[str] = []

    class Rarely(Logged):
        def write(self, text: str) -> int:
            if not written:
                written.append(text)
                return super().write("interrupted")
            written.append(text)
            return len(text)

    monkeypatch.setattr(sys, "stdout", Rarely())
    start(format="json")
    logging.getLogger("lib").info("first")
    logging.getLogger("lib").info("second")
    assert parsed("".join(written)) == [
        line("info", "lib", "first"),
        line("info", "printed", "interrupted"),
        line("info", "lib", "second"),
    ]
