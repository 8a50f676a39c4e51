"""Which stdout lines go to, whoever puts another in its place, and until the end of the process."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from belvedere import failures
from belvedere.logs import get_logger
from belvedere.logs.sinks import Text
from belvedere.logs.writer import Writer, _forget_all
from tests.logs.conftest import Start
from tests.logs.lines import line, parsed
from tests.logs.pipes import Pipe, fill, stdout, turn


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
