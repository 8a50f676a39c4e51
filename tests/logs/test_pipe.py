"""Lines that are longer than what a pipe takes in one go, of several writers on one pipe."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from belvedere.logs.pipe import CAPACITY, PATIENCE, Pipe
from belvedere.logs.sinks import PIECE
from belvedere.logs.writer import Writer, _forget_all
from tests.logs.pipes import PIPE_BYTES, turn, until, written
from tests.logs.pipes import Pipe as Reader

LONG = b"L" * 100_000 + b"\n"


def own(pipe: Reader) -> Pipe:
    """Return another process's sink for that pipe, as far as a pipe can tell."""
    descriptor = os.open(f"/proc/self/fd/{pipe.descriptor}", os.O_WRONLY | os.O_NONBLOCK)
    return Pipe(descriptor, block=False)


def capacity(pipe: Reader) -> int:
    return fcntl.fcntl(pipe.descriptor, fcntl.F_GETPIPE_SZ)


def test_short_lines_leave_the_pipe_as_it_is(pipe: Reader, writer: Writer) -> None:
    """A pipe is made larger for whoever needs it alone."""
    writer.write(b"x" * (PIECE - 1) + b"\n")
    assert capacity(pipe) == PIPE_BYTES


def test_a_longer_line_is_in_the_pipe_whole(pipe: Reader, writer: Writer) -> None:
    """Nobody reads, and yet it is out: the pipe holds more since."""
    writer.write(LONG)
    assert capacity(pipe) == CAPACITY
    assert pipe.read() == LONG


async def test_a_longer_line_is_not_begun_before_there_is_room(pipe: Reader, writer: Writer) -> None:
    """What is in the pipe are whole lines at any time: a process that ends now leaves no half one."""
    for _ in range(12):
        writer.write(LONG)
    await turn()
    received = pipe.read()
    assert received == LONG * received.count(b"\n")
    assert received.count(b"\n") < 12

    def everything() -> bool:
        nonlocal received
        received += (part := pipe.read())
        assert part == LONG * part.count(b"\n")
        return len(received) == 12 * len(LONG)

    await until(everything)
    assert writer.dropped == 0


def test_where_the_pipe_stays_small_longer_lines_wait_until_it_is_empty(
    pipe: Reader, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user may have too many large pipes: then a line of half a pipe is written whole, when the last has gone."""
    monkeypatch.setattr("belvedere.logs.pipe.CAPACITY", PIPE_BYTES)
    half = b"h" * 30_000 + b"\n"
    writer.write(half)
    writer.write(half)
    assert pipe.read() == half
    writer.flush()
    assert pipe.read() == half


async def test_a_line_that_no_pipe_holds_goes_out_in_parts(pipe: Reader, writer: Writer) -> None:
    """More than a mebibyte: begun when the pipe is empty, and finished before the next."""
    huge = b"h" * (2 * CAPACITY) + b"\n"
    writer.write(huge)
    await turn()
    writer.write(b"next\n")
    received = b""

    def everything() -> bool:
        nonlocal received
        received += pipe.read()
        return received.endswith(b"next\n")

    await until(everything)
    assert received == huge + b"next\n"


async def test_nobody_writes_into_the_midst_of_a_line_that_goes_out_in_parts(pipe: Reader, writer: Writer) -> None:
    """A sibling's lines that were kept wait for its end, without a busy loop."""
    sibling = own(pipe)
    huge = b"h" * (2 * CAPACITY) + b"\n"
    writer.write(huge)
    await turn()
    assert sibling.write([b"a" * PIECE, b"\n", LONG]) == 0
    assert sibling.blocked
    first = pipe.read()
    assert first == b"h" * len(first)
    assert sibling.write([]) == 0
    assert (sibling.blocked, sibling.crowded) == (True, True)
    assert pipe.read() == b""
    received = first

    def everything() -> bool:
        nonlocal received
        received += pipe.read()
        return received.endswith(b"h\n")

    await until(everything)
    assert received == huge
    assert sibling.wait(5.0) == 0
    assert pipe.read() == b"a" * PIECE + b"\n" + LONG
    assert sibling.close() == 0


def test_a_sibling_that_hangs_holds_nobody_up_for_long(pipe: Reader) -> None:
    """It took its turn and does not come to write: after five seconds the others go on."""
    now = [0.0]
    hanging = own(pipe)
    fcntl.flock(hanging.descriptor or 0, fcntl.LOCK_EX)
    sibling = own(pipe)
    sibling._clock = lambda: now[0]
    assert sibling.write([LONG]) == 0
    assert (sibling.blocked, sibling.crowded) == (True, True)
    now[0] = PATIENCE
    assert sibling.write([]) == 0
    assert pipe.read() == LONG
    hanging.close()
    sibling.close()


def test_blocking_takes_turns_as_well(pipe: Reader) -> None:
    """With `on_full = "block"`, a longer line waits for its room, and all arrive."""
    code = """if True:
        from belvedere.logs import Logs, get_logger
        from belvedere.settings import Settings
        Logs(Settings(service="shop", logs={"on_full": "block"})).install()
        for number in range(60):
            get_logger("app").info("e" * 60_000, number=number)
    """
    with subprocess.Popen([sys.executable, "-c", code], stdout=pipe.descriptor) as process:
        pipe.stream.close()
        os.set_blocking(pipe.reader, True)
        numbers = [json.loads(text)["number"] for text in b"".join(written(pipe.reader)).splitlines()]
        assert process.wait(timeout=60) == 0
    assert numbers == list(range(60))


def test_where_a_pipe_tells_nothing_lines_are_written_all_the_same(
    pipe: Reader, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither locks nor figures: a longer line goes out as far as it is taken."""

    def refuse(*_: object) -> int:
        raise OSError

    for name in ("flock", "fcntl", "ioctl"):
        monkeypatch.setattr(f"belvedere.logs.pipe.fcntl.{name}", refuse)
    writer.write(b"1\n" * PIECE)
    assert pipe.read() == b"1\n" * PIECE


def test_a_pipe_that_cannot_be_made_larger_is_none_the_worse(
    pipe: Reader, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel refuses: it stays as it is, and is asked once."""
    asked: list[int] = []
    real = fcntl.fcntl

    def refuse(descriptor: int, what: int, *arguments: int) -> int:
        if what == fcntl.F_SETPIPE_SZ:
            asked.append(what)
            raise PermissionError
        return real(descriptor, what, *arguments)

    monkeypatch.setattr("belvedere.logs.pipe.fcntl.fcntl", refuse)
    for _ in range(2):
        writer.write(b"h" * 30_000 + b"\n")
        assert pipe.read() == b"h" * 30_000 + b"\n"
    assert len(asked) == 1


def test_a_forked_child_has_a_description_and_a_turn_of_its_own(pipe: Reader, writer: Writer) -> None:
    """gunicorn with `--preload` logs before it forks: what its workers have in common is the pipe alone."""
    writer.write(b"1\n")
    before = writer._stdout.watched
    assert before is not None
    _forget_all()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(before)
    writer.write(b"2\n")
    assert pipe.read() == b"1\n2\n"


def test_the_reader_of_half_a_line_goes(pipe: Reader, writer: Writer) -> None:
    """What was kept is counted, and the turn given back: another reader of a named pipe begins anew."""
    writer.write(b"h" * (2 * CAPACITY) + b"\n")
    sink = writer._stdout.sink()
    assert sink.blocked
    os.close(pipe.reader)
    writer.write(b"lost\n")
    assert (writer.dropped, sink.blocked) == (2, False)
    pipe.reader = os.open(os.devnull, os.O_RDONLY)


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_siblings_lines_stay_whole_however_long(kind: str, tmp_path: Path) -> None:
    """Four processes log lines of 100 bytes to 100 KB from loops and threads on one pipe or socket.

    Its reader stalls now and then. Each line arrives whole, in the order of each process, and what is missing was
    told; those that wait for the reader miss none.
    """
    (tmp_path / "code.py").write_text(SIBLING)
    ways = {"a": "block", "b": "block", "c": "drop", "d": "drop"}
    reader, descriptor = os.pipe() if kind == "pipe" else small_sockets()
    read = talk([[sys.executable, str(tmp_path / "code.py"), *way] for way in ways.items()], reader, descriptor)
    lines = [json.loads(text) for text in read.splitlines()]
    for name, on_full in ways.items():
        own = [line for line in lines if line["service"] == name]
        dropped = sum(line["dropped"] for line in own if line["event"] == "log_lines_dropped")
        assert dropped + sum("by" in line for line in own) == 400
        for by in ("loop", "thread"):
            numbers = [line["number"] for line in own if line.get("by") == by]
            assert numbers == (list(range(200)) if on_full == "block" else sorted(set(numbers)))


SIBLING = """
import asyncio, json, random, sys, threading
from belvedere.logs import Logs, output
from belvedere.settings import Settings

logs = Logs(Settings(service=sys.argv[1], logs={"on_full": sys.argv[2]}))
logs.install()
draw = random.Random(sys.argv[1])

def say(by, number):
    event = "e" * draw.choice([1, 100, 3000, 10_000, 40_000, 100_000])
    line = {"event": event, "service": sys.argv[1], "by": by, "number": number}
    output.active.writer.write(json.dumps(line).encode() + b"\\n")

def thread():
    for number in range(200):
        say("thread", number)

async def main():
    other = threading.Thread(target=thread)
    other.start()
    for number in range(200):
        say("loop", number)
        await asyncio.sleep(0)
    while other.is_alive() or output.active.writer._stdout.blocked:
        await asyncio.sleep(0.01)

asyncio.run(main())
logs.flush()
"""


def small_sockets() -> tuple[int, int]:
    """Return descriptors of a pair of sockets that hold less than a longer line."""
    ours, theirs = socket.socketpair()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32_768)
    return ours.detach(), theirs.detach()


def talk(commands: list[list[str]], reader: int, descriptor: int) -> bytes:
    """Run processes on one stdout, which is not read for a while whenever 3 MB have been; return what they wrote."""
    processes = [subprocess.Popen(command, stdout=descriptor) for command in commands]
    os.close(descriptor)
    read = bytearray()
    while part := os.read(reader, PIPE_BYTES):
        if len(read) // 3_000_000 != (len(read) + len(part)) // 3_000_000:
            time.sleep(0.2)
        read += part
    os.close(reader)
    assert [process.wait(timeout=60) for process in processes] == [0] * len(commands)
    return bytes(read)
