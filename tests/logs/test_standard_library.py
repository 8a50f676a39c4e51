"""The standard library's loggers: what their records become, and what is changed about them while it lasts."""

from __future__ import annotations

import io
import logging
import logging.config
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from belvedere.logs import Logs
from belvedere.settings import Settings
from tests.logs.conftest import Start
from tests.logs.lines import Line, line
from tests.logs.loggers import UVICORN, console, state

Lines = Callable[[], list[Line]]


def test_records_become_lines(start: Start, lines: Lines) -> None:
    """Level, name, formatted text and `extra` are shown; what a record has by itself is not, nor uvicorn's colours."""
    start(level="debug")
    log = logging.getLogger("lib.part")
    log.debug("plain")
    log.info("%s of %d", "a", 2)
    log.warning("with %(n)s", {"n": "names"})
    log.error("extra", extra={"user": {"id": 7}, "color_message": "\x1b[1mextra", "order_id": 1})
    log.critical({"not": "text"})
    log.log(25, "between")
    log.info("bytes %s", b"b")
    # pytest's own handler, which comes first, raises for this one.
    misfit = {"name": "lib.part", "levelno": 20, "levelname": "INFO", "msg": "%d", "args": ("x",)}
    logging.getLogger().handlers[-1].handle(logging.makeLogRecord(misfit))
    assert lines() == [
        line("debug", "lib.part", "plain"),
        line("info", "lib.part", "a of 2"),
        line("warning", "lib.part", "with names"),
        line("error", "lib.part", "extra", user={"id": 7}, order_id=1),
        line("critical", "lib.part", "{'not': 'text'}"),
        line("level 25", "lib.part", "between"),
        line("info", "lib.part", "bytes b'b'"),
        line("info", "lib.part", "%d ('x',)"),
    ]


def test_levels_keep_their_names(start: Start, lines: Lines) -> None:
    """Who colours names of levels for a terminal, by `addLevelName` or on the record, colours no line; others stay."""
    start(level="debug")
    log = logging.getLogger("lib")
    painted = logging.makeLogRecord(
        {"name": "lib", "levelno": 40, "levelname": "\x1b[31mERROR\x1b[0m", "msg": "painted"}
    )
    logging.addLevelName(logging.WARNING, "\x1b[33mWARNING\x1b[0m")
    logging.addLevelName(25, "NOTICE")
    try:
        log.warning("coloured")
        log.log(25, "noticed")
        log.handle(painted)
    finally:
        logging.addLevelName(logging.WARNING, "WARNING")
        logging._levelToName.pop(25)
        logging._nameToLevel.pop("NOTICE")
    assert lines() == [
        line("warning", "lib", "coloured"),
        line("notice", "lib", "noticed"),
        line("error", "lib", "painted"),
    ]


def test_extra_may_hold_any_key(start: Start, lines: Lines) -> None:
    """Keys of the record itself, of Belvedere's lines and keys that are no text: nothing raises, nothing is lost."""
    start()
    extra: dict[Any, Any] = {"name": 1, "message": 2, "args": 3, "asctime": 4, "msg": 5, "level": 6, "event": 7, 8: 9}
    logging.getLogger("lib").info("x", extra=extra)
    record = logging.getLogger("lib").makeRecord("lib", 20, "f", 1, "y", (), None, None, {"name": 1})
    logging.getLogger("lib").handle(record)
    assert lines() == [
        {
            **line("info", "lib", "x", name_=1, message_=2, args_=3, asctime_=4, msg_=5, level_=6, event_=7),
            "8": 9,
        },
        line("info", "lib", "y", name_=1),
    ]


def test_exceptions_and_stacks_are_shown(start: Start, lines: Lines) -> None:
    """`exc_info` in any form, a text that was formatted elsewhere, and `stack_info`."""
    start()
    log = logging.getLogger("lib")
    try:
        raise KeyError("k")
    except KeyError as error:
        log.exception("raised")
        log.info("given", exc_info=error)
    log.info("none", exc_info=True)  # noqa: LOG014
    log.info("stack", stack_info=True)
    queued = logging.makeLogRecord({"name": "lib", "levelno": 20, "levelname": "INFO", "msg": "q", "exc_text": "E: e"})
    logging.getLogger().handle(queued)
    written = lines()
    for item in written[:2]:
        assert item["exception"].startswith("Traceback (most recent call last):\n")
        assert item.pop("exception").endswith("\nKeyError: 'k'")
    assert "test_exceptions_and_stacks_are_shown" in written[3].pop("stack_info")
    assert written == [
        line("error", "lib", "raised"),
        line("info", "lib", "given"),
        line("info", "lib", "none"),
        line("info", "lib", "stack"),
        line("info", "lib", "q", exception="E: e"),
    ]


def test_the_time_is_the_records(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    """A record that waited in a queue has the time at which it was made."""
    start()
    record = logging.makeLogRecord({"name": "lib", "levelno": 20, "levelname": "INFO", "msg": "q", "created": 0.5})
    logging.getLogger().handle(record)
    assert '"timestamp":"1970-01-01T00:00:00.500000Z"' in capsys.readouterr().out


def test_a_filter_can_drop_and_replace_records(start: Start, lines: Lines) -> None:
    """Filters of the handler work as everywhere, those that return another record (Python 3.12) as well."""
    start()
    root = logging.getLogger()
    handler = root.handlers[-1]
    handler.addFilter(lambda record: record.getMessage() != "dropped")
    log = logging.getLogger("lib")
    log.info("dropped")
    log.info("kept")
    other = logging.makeLogRecord({"name": "other", "levelno": 20, "levelname": "INFO", "msg": "other"})
    handler.filter = lambda record: other  # type: ignore[assignment,method-assign,return-value]
    log.info("replaced")
    assert lines() == [line("info", "lib", "kept"), line("info", "other", "other")]


def test_everything_is_as_before_after_removal(start: Start) -> None:
    """Handlers in their order, levels, propagation, makeRecord: nothing is left of us."""
    root = logging.getLogger()
    first, second = console(), console(sys.stderr)
    kept = logging.StreamHandler(io.StringIO())
    logging.config.dictConfig(UVICORN)
    names = (None, "uvicorn", "uvicorn.error", "uvicorn.access", "lib", "noisy")
    root.handlers[0:0] = [first, kept, second]
    logging.getLogger("noisy").setLevel(logging.DEBUG)
    before = [state(name) for name in names], logging.Logger.makeRecord
    logs = start(level="debug", quiet={"noisy": "error", "lib": "info"})
    logs.reassert()
    logs.set_level("error", {"lib": "warning"})
    assert ([state(name) for name in names], logging.Logger.makeRecord) != before
    logs.remove()
    try:
        assert ([state(name) for name in names], logging.Logger.makeRecord) == before
    finally:
        for handler in (first, kept, second):
            root.removeHandler(handler)
        logging.getLogger("noisy").setLevel(logging.NOTSET)


def test_console_handlers_are_taken_off_and_all_others_stay(
    start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line is written once, not by `basicConfig`'s handler as well, and still to files and to whoever listens."""
    root = logging.getLogger()
    text = io.StringIO()
    handlers = [
        *(console(), console(sys.stderr), console(sys.__stderr__)),
        *(logging.StreamHandler(text), logging.FileHandler(tmp_path / "log"), logging.NullHandler()),
    ]
    before = list(root.handlers)
    for handler in handlers:
        root.addHandler(handler)
    logs = start()
    logging.getLogger("lib").info("once")
    assert root.handlers[:-1] == [*before, *handlers[3:]]
    captured = capsys.readouterr()
    assert (captured.out.count("once"), captured.err) == (1, "")
    assert text.getvalue() == (tmp_path / "log").read_text() == "once\n"
    logs.remove()
    assert root.handlers == [*before, *handlers]
    for handler in handlers:
        root.removeHandler(handler)
        handler.close()


def test_pytests_own_capture_goes_on(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """`caplog` sees what the standard library logs."""
    start()
    logging.getLogger("lib").info("seen")
    assert caplog.messages == ["seen"]


def test_others_on_the_root_logger_get_what_they_got(start: Start, lines: Lines) -> None:
    """A handler that was promised debug records still gets them, while lines keep to the level of the settings."""
    root = logging.getLogger()
    text = io.StringIO()
    handler, level = logging.StreamHandler(text), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        start(level="warning")
        logging.getLogger("lib").debug("theirs")
        logging.getLogger("lib").warning("both")
        assert text.getvalue() == "theirs\nboth\n"
        assert lines() == [line("warning", "lib", "both")]
    finally:
        root.removeHandler(handler)
        # What was changed meanwhile is not ours to give back.
        for logs in [logging.getLogger()]:
            logs.setLevel(level)


def test_our_handler_comes_back(start: Start, lines: Lines) -> None:
    """A `dictConfig` that replaces root's handlers and disables loggers takes our handler away until `reassert`."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    logs = start()
    logging.getLogger("belvedere").info("here")
    logging.config.dictConfig(
        {
            "version": 1,
            "handlers": {"theirs": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout"}},
            "root": {"handlers": ["theirs"], "level": "WARNING"},
        }
    )
    (theirs,) = root.handlers
    logs.reassert()
    logging.getLogger("belvedere").info("again")
    logging.getLogger("lib").info("again")
    assert lines() == [
        line("info", "belvedere", "here"),
        line("info", "belvedere", "again"),
        line("info", "lib", "again"),
    ]
    logs.remove()
    assert root.handlers == [theirs]
    assert root.level == logging.WARNING
    root.handlers[:] = before
    root.setLevel(level)
    logging.getLogger("belvedere").disabled = False


def test_handlers_that_were_added_later_are_taken_as_well(start: Start, lines: Lines) -> None:
    """A second console handler on root, added after `observe`, would write each line twice."""
    root = logging.getLogger()
    first, second = console(), console()
    root.addHandler(first)
    logs = start()
    root.addHandler(second)
    logs.reassert()
    logging.getLogger("lib").info("once")
    assert lines() == [line("info", "lib", "once")]
    logs.remove()
    assert root.handlers[-2:] == [first, second]
    root.removeHandler(first)
    root.removeHandler(second)


def test_console_handlers_of_the_applications_own_loggers_are_taken_too(
    start: Start, lines: Lines, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each line is JSON, once, whether its logger propagates or not; files and propagation stay as they are."""
    text = io.StringIO()
    own = {"shop": False, "shop.orders": True, "billing": True}
    for name, propagate in own.items():
        logging.getLogger(name).propagate = propagate
        logging.getLogger(name).addHandler(console())
    silent = logging.getLogger("silent")
    silent.propagate = False
    silent.addHandler(logging.StreamHandler(text))
    names = (*own, "silent")
    before = [state(name) for name in names]
    logs = start()
    for _ in range(2):
        for name in (*own, "shop.stock", "silent"):
            logging.getLogger(name).info("once")
        logs.reassert()
    logging.getLogger("shop.stock").addHandler(console(sys.stderr))
    logging.getLogger("shop.stock").info("added later")
    once = [line("info", name, "once") for name in (*own, "shop.stock")]
    assert lines() == [*once, *once, line("info", "shop.stock", "added later")]
    assert text.getvalue() == "once\nonce\n"
    assert capsys.readouterr() == ("", "")
    assert [state(name)[2] for name in names] == [False, True, True, False]
    logs.remove()
    assert [state(name) for name in names] == before


@pytest.mark.parametrize("kind", ["rich", "rich's own", "file"])
def test_other_handlers_that_write_to_the_console(start: Start, lines: Lines, kind: str) -> None:
    """rich's handler, and a file that is the console, would write each line a second time, as text."""
    handler: logging.Handler = logging.Handler() if kind == "rich" else logging.FileHandler("/dev/stdout", delay=True)
    if kind == "rich's own":
        handler = pytest.importorskip("rich.logging").RichHandler()
    if kind == "rich":
        handler.console = types.SimpleNamespace(file=sys.stdout)  # type: ignore[attr-defined]
    root = logging.getLogger()
    root.addHandler(handler)
    logs = start()
    assert handler not in root.handlers
    logging.getLogger("lib").info("once")
    assert lines() == [line("info", "lib", "once")]
    logs.remove()
    assert handler in root.handlers
    root.removeHandler(handler)


def test_lines_after_a_new_configuration_come_to_us(start: Start, lines: Lines) -> None:
    """Whatever `dictConfig` brings after `observe`, on root or on a logger of the application, its lines are JSON."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    logs = start()
    stdout = {"class": "logging.StreamHandler", "stream": "ext://sys.stdout"}
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"theirs": stdout},
            "root": {"handlers": ["theirs"], "level": "INFO"},
            "loggers": {"shop": {"handlers": ["theirs"], "propagate": False}},
        }
    )
    (theirs,) = root.handlers
    logging.getLogger("shop.orders").info("once")
    logging.getLogger("lib").info("once")
    assert lines() == [line("info", "shop.orders", "once"), line("info", "lib", "once")]
    logs.remove()
    assert (root.handlers, logging.getLogger("shop").handlers) == ([theirs], [theirs])
    root.handlers[:] = before
    root.setLevel(level)


def test_what_others_changed_meanwhile_stays(start: Start) -> None:
    """A level, and a `makeRecord`, that somebody else set after us are theirs."""
    before = logging.Logger.makeRecord
    logs = start(quiet={"lib": "error"})
    ours = logging.Logger.makeRecord

    def theirs(*args: Any, **kwargs: Any) -> logging.LogRecord:
        return ours(*args, **kwargs)

    logging.getLogger("lib").setLevel(logging.INFO)
    logging.Logger.makeRecord = theirs  # type: ignore[method-assign]
    logs.remove()
    assert logging.getLogger("lib").level == logging.INFO
    assert logging.Logger.makeRecord is theirs
    logging.getLogger("lib").info("it still works", extra={"order_id": 1})
    logging.Logger.makeRecord = before  # type: ignore[method-assign]


def test_after_removal_records_go_nowhere_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    """A handler that somebody kept writes nothing any more."""
    logs = Logs(Settings())
    logs.install()
    handler = logging.getLogger().handlers[-1]
    logs.remove()
    handler.handle(logging.makeLogRecord({"name": "lib", "levelno": 50, "levelname": "CRITICAL", "msg": "x"}))
    assert capsys.readouterr().out == ""
