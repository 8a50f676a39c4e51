"""Readers that are slow, stall or go away: what is kept, what is dropped, and who waits."""

from __future__ import annotations

import asyncio
import os
import select
import threading
import time

import pytest

from belvedere.logs import output as outputs
from belvedere.logs.sinks import BACKLOG, PIECE
from belvedere.logs.writer import Writer
from tests.logs.conftest import Start
from tests.logs.lines import line, parsed
from tests.logs.pipes import Pipe, fill, stdout, turn, until


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
    assert time.perf_counter() - started < 60  # whoever waited for the reader would do so for each line
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
    logging_thread.join(60)
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
