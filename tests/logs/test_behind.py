"""Console handlers behind others: those of a queue's listener, and what a `MemoryHandler` hands its records to."""

from __future__ import annotations

import io
import logging
import logging.config
import logging.handlers
import os
import queue
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.logs.conftest import Start
from tests.logs.lines import REQUEST_ID, Line, line, request
from tests.logs.loggers import console, state

Lines = Callable[[], list[Line]]
Queued = tuple[logging.handlers.QueueHandler, logging.handlers.QueueListener]


class Behind:
    """Makes queues with listeners, and stops those at the end."""

    def __init__(self) -> None:
        self._made: list[logging.handlers.QueueListener] = []

    def __call__(self, *handlers: logging.Handler, started: bool = True, known: bool = False) -> Queued:
        """Return both ends of a new queue; `known`: the handler names its listener, as `dictConfig`'s do from 3.12."""
        waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
        handler = logging.handlers.QueueHandler(waiting)
        listener = logging.handlers.QueueListener(waiting, *handlers)
        if known:
            vars(handler)["listener"] = listener
        if started:
            listener.start()
        self._made.append(listener)
        return handler, listener

    def drain(self) -> None:
        """Return when all that was logged until now has been handled."""
        for listener in self._made:
            if listener._thread is not None:
                listener.stop()
                listener.start()

    def stop(self) -> None:
        for listener in self._made:
            if listener._thread is not None:
                listener.stop()


@pytest.fixture
def behind() -> Iterator[Behind]:
    made = Behind()
    yield made
    made.stop()


@pytest.fixture
def attach() -> Iterator[Callable[..., logging.Logger]]:
    """Put handlers on a logger for a test."""
    put: list[tuple[logging.Logger, logging.Handler]] = []

    def attach(name: str | None, *handlers: logging.Handler, propagate: bool = True) -> logging.Logger:
        logger = logging.getLogger(name)
        logger.propagate = propagate
        for handler in handlers:
            logger.addHandler(handler)
            put.append((logger, handler))
        return logger

    yield attach
    for logger, handler in put:
        logger.removeHandler(handler)


@pytest.mark.parametrize("known", [True, False], ids=["named by its handler", "made by hand"])
@pytest.mark.parametrize("name", [None, "shop"])
def test_a_listeners_console_writes_no_text(  # noqa: PLR0917 - fixtures
    start: Start,
    lines: Lines,
    behind: Behind,
    attach: Any,
    within: Any,
    capsys: pytest.CaptureFixture[str],
    known: bool,
    name: str | None,
) -> None:
    """Each line is JSON, once, with the request's id, written by whoever logs; what else listens gets what it got."""
    text = io.StringIO()
    first, second, kept = console(), console(sys.stderr), logging.StreamHandler(text)
    handler, listener = behind(first, kept, second, known=known)
    logger = attach(name, handler, propagate=False)
    before = state(name), listener.handlers
    logs = start()
    within(request())
    for number in range(3):
        logger.info("line %d", number)
    try:
        raise KeyError("k")
    except KeyError:
        logger.exception("raised")
    written = lines()
    behind.drain()
    assert capsys.readouterr() == ("", "")
    assert [one["event"] for one in written] == ["line 0", "line 1", "line 2", "raised"]
    assert {one["request_id"] for one in written} == {REQUEST_ID}
    assert written[3]["exception"].endswith("KeyError: 'k'")
    assert text.getvalue().startswith("line 0\nline 1\nline 2\nraised\nTraceback")
    logs.remove()
    assert (state(name), listener.handlers) == before
    logging.getLogger(name).warning("text again")
    behind.drain()
    assert capsys.readouterr() == ("text again\n", "text again\n")


@pytest.mark.parametrize("known", [True, False], ids=["named by its handler", "made by hand"])
def test_a_listener_that_starts_later(  # noqa: PLR0917 - fixtures
    start: Start, lines: Lines, behind: Behind, attach: Any, capsys: pytest.CaptureFixture[str], known: bool
) -> None:
    """What waited in the queue of a logger that did not come to us is written, once; after it, all comes directly."""
    start()
    handler, listener = behind(console(), started=False, known=known)
    logger = attach("shop", handler, propagate=False)
    for number in range(50):
        logger.info("early", extra={"number": number})
    listener.start()
    behind.drain()
    logger.info("late")
    behind.drain()
    assert lines() == [
        *(line("info", "shop", "early", number=number) for number in range(50)),
        line("info", "shop", "late"),
    ]
    assert capsys.readouterr().err == ""
    listener.stop()


def test_a_listener_that_comes_with_a_new_configuration(
    start: Start, lines: Lines, behind: Behind, attach: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Made after `observe`, before root's and by a logger of its own; its loggers come and go."""
    start()
    handler, _ = behind(console(), known=True)
    root = attach(None, handler)
    own = attach("shop", handler, propagate=False)
    for _ in range(2):
        root.warning("root")
        own.warning("own")
        logging.getLogger("shop.orders").warning("below")
    behind.drain()
    once = [line("warning", "root", "root"), line("warning", "shop", "own"), line("warning", "shop.orders", "below")]
    assert lines() == [*once, *once]
    assert capsys.readouterr().err == ""


def test_lines_of_other_processes_are_written(start: Start, lines: Lines, behind: Behind, attach: Any) -> None:
    """A listener that collects for worker processes loses none of their lines, and takes no id of ours for theirs."""
    handler, _ = behind(console())
    attach(None, handler)
    start()
    theirs = logging.makeLogRecord(
        {"name": "worker", "levelno": 20, "levelname": "INFO", "msg": "theirs", "process": os.getpid() + 1}
    )
    handler.enqueue(theirs)
    handler.enqueue(logging.makeLogRecord({**vars(theirs), "levelno": 10, "levelname": "DEBUG"}))
    behind.drain()
    assert lines() == [line("info", "worker", "theirs")]


def test_files_behind_others_are_left_alone(
    start: Start, lines: Lines, behind: Behind, attach: Any, tmp_path: Path
) -> None:
    """A rotating file behind a queue, others behind memory: nothing is changed, and no line is doubled."""
    rotating = logging.handlers.RotatingFileHandler(tmp_path / "rotating.log", maxBytes=1_000_000)
    plain = logging.FileHandler(tmp_path / "plain.log")
    opened = (tmp_path / "opened.log").open("w")
    handler, listener = behind(rotating)
    memories = [logging.handlers.MemoryHandler(2, target=one) for one in (plain, logging.StreamHandler(opened))]
    attach(None, handler, *memories)
    before = state(), listener.handlers, [memory.target for memory in memories]
    logs = start()
    assert state()[0][:-1] == before[0][0]
    logging.getLogger("lib").warning("first")
    logging.getLogger("lib").warning("second")
    behind.drain()
    assert (listener.handlers, [memory.target for memory in memories]) == before[1:]
    assert lines() == [line("warning", "lib", "first"), line("warning", "lib", "second")]
    logs.remove()
    opened.close()
    for name in ("rotating", "plain", "opened"):
        assert (tmp_path / f"{name}.log").read_text() == "first\nsecond\n"
    assert state() == before[0]
    rotating.close()
    plain.close()


def test_memory_before_a_console(  # noqa: PLR0917 - fixtures
    start: Start, lines: Lines, behind: Behind, attach: Any, within: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lines are written when they are logged; what memory held before is written when it is flushed, with no id."""
    target = console(sys.stderr)
    memory = logging.handlers.MemoryHandler(100, target=target)
    logger = attach("shop", memory, propagate=False)
    before = state("shop")
    logger.warning("before")
    logs = start()
    within(request())
    logger.info("during")
    (during,) = lines()
    assert (during["event"], during["request_id"]) == ("during", REQUEST_ID)
    memory.flush()
    assert lines() == [line("warning", "shop", "before")]
    logger.info("held")
    assert [one["event"] for one in lines()] == ["held"]
    logs.remove()
    assert (state("shop"), memory.target) == (before, target)
    memory.buffer.clear()
    assert capsys.readouterr() == ("", "")


def test_memory_before_a_queue(start: Start, lines: Lines, behind: Behind, attach: Any) -> None:
    """A console behind two others is found as well."""
    handler, listener = behind(console(), known=True)
    memory = logging.handlers.MemoryHandler(1, target=handler)
    attach("shop", memory, propagate=False)
    before = listener.handlers
    logs = start()
    logging.getLogger("shop").info("once")
    behind.drain()
    assert lines() == [line("info", "shop", "once")]
    logs.remove()
    assert listener.handlers == before


def test_a_servers_access_lines_in_a_queue(start: Start, lines: Lines, behind: Behind, attach: Any) -> None:
    """They are dropped as they are everywhere, as there are ours."""
    handler, _ = behind(console(), known=True)
    access = attach("uvicorn.access", handler, propagate=False)
    error = attach("uvicorn.error", handler, propagate=False)
    start()
    access.info("GET / 200")
    error.info("Started")
    behind.drain()
    assert lines() == [line("info", "uvicorn.error", "Started")]


def test_listeners_are_as_before_after_removal(start: Start, behind: Behind) -> None:
    """What is changed about the standard library's class is given back; two applications share it."""
    before = logging.handlers.QueueListener.handle
    first, second = start(), start()
    assert logging.handlers.QueueListener.handle is not before
    first.remove()
    assert logging.handlers.QueueListener.handle is not before
    second.remove()
    assert logging.handlers.QueueListener.handle is before


def test_a_logger_without_any_handler(
    start: Start, lines: Lines, attach: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """What Python prints to stderr as a last resort is a line, from `warning` on, as it prints no less."""
    before = logging.lastResort
    logs = start()
    logger = attach("alone", propagate=False)
    logger.info("silent")
    logger.warning("printed")
    assert lines() == [line("warning", "alone", "printed")]
    assert capsys.readouterr().err == ""
    logs.remove()
    assert logging.lastResort is before


@pytest.mark.parametrize("broken", ["stream", "console", "target"])
def test_handlers_that_raise_when_they_are_looked_at(start: Start, lines: Lines, attach: Any, broken: str) -> None:
    """A handler of somebody's own may have properties that fail; whoever logs does not hear of it."""

    class Odd(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            pass

        def __getattribute__(self, name: str) -> Any:
            if name == broken:
                raise RuntimeError(name)
            return super().__getattribute__(name)

    class OddStream(Odd, logging.StreamHandler[Any]):
        emit = Odd.emit

    odd = OddStream.__new__(OddStream)
    logging.Handler.__init__(odd)

    class OddMemory(Odd, logging.handlers.MemoryHandler):
        emit = Odd.emit

    memory = OddMemory.__new__(OddMemory)
    logging.Handler.__init__(memory)
    attach(None, odd, Odd(), memory)
    start()
    logging.getLogger("lib").info("once")
    assert [one for one in lines() if one["logger"] == "lib"] == [line("info", "lib", "once")]


def test_a_stream_of_stdouts_own_descriptor(tmp_path: Path) -> None:
    """A text stream that somebody has put around stdout's descriptor, for its encoding, is the console."""
    from belvedere.logs.consoles import is_console

    with open(1, "w", closefd=False) as stdout, (tmp_path / "file").open("w") as file:
        assert is_console(logging.StreamHandler(stdout))
        assert not is_console(logging.StreamHandler(file))
    assert not is_console(logging.StreamHandler(io.StringIO()))
    assert not is_console(logging.NullHandler())
