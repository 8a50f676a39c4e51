"""What a descriptor is decides how it is written to: real pipes, sockets, files, disks and terminals."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
from pathlib import Path

import pytest

from belvedere.logs.sinks import Blocking, NonBlocking, Polled
from belvedere.logs.stream_socket import StreamSocket
from belvedere.logs.writer import Writer
from tests.logs.pipes import Pipe, fill, stdout, turn, until


def arrived(reader: socket.socket) -> bytes:
    """Return what has arrived at a socket, without waiting for more."""
    received = b""
    with contextlib.suppress(BlockingIOError):
        while part := reader.recv(1_000_000, socket.MSG_DONTWAIT):
            received += part
    return received


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
        received = b""

        def everything() -> bool:
            nonlocal received
            received += arrived(theirs)
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
        received = arrived(theirs)
        assert received == (long + b"short\n") * received.count(b"short\n") + long * (
            received.count(b"L\n") - received.count(b"short\n")
        )
        assert 0 < received.count(b"L\n") < 5
        monkeypatch.setattr("belvedere.logs.writer.WAIT", 0.0)
        writer.close()
        received += arrived(theirs)
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
            writer = Writer(stdout(ours))
            lines = [b"0\n", b"L" * 900_000 + b"\n", b"1\n"]
            for one in lines:
                writer.write(one)
            await turn()
            received = b""

            def everything(theirs: socket.socket = theirs) -> bool:
                nonlocal received
                received += arrived(theirs)
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
