"""structlog's loggers: every method, before, while and after an application is observed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from belvedere import failures
from belvedere.logs import get_logger
from tests.logs.conftest import Start
from tests.logs.lines import Line, line

Lines = Callable[[], list[Line]]
MAKERS = [get_logger, structlog.get_logger]


@pytest.mark.parametrize("make", MAKERS)
def test_every_method_writes_a_line_of_its_level(start: Start, lines: Lines, make: Callable[[str], Any]) -> None:
    """All methods of structlog's filtering logger are there, by whichever way the logger was made."""
    start(level="debug")
    log = make("app")
    for method in ("debug", "info", "msg", "warning", "warn", "error", "critical", "fatal", "exception"):
        getattr(log, method)(method, a=1)
    log.log(logging.WARNING, "log %s", "it")
    log.log(25, "between")
    log.log(99, "above")
    assert lines() == [
        line("debug", "app", "debug", a=1),
        line("info", "app", "info", a=1),
        line("info", "app", "msg", a=1),
        line("warning", "app", "warning", a=1),
        line("warning", "app", "warn", a=1),
        line("error", "app", "error", a=1),
        line("critical", "app", "critical", a=1),
        line("critical", "app", "fatal", a=1),
        line("error", "app", "exception", a=1),
        line("warning", "app", "log it"),
        line("info", "app", "between"),
        line("critical", "app", "above"),
    ]


@pytest.mark.parametrize("make", MAKERS)
async def test_async_methods_write_the_same_lines(start: Start, lines: Lines, make: Callable[[str], Any]) -> None:
    """They write at once, without a thread, and `aexception` finds the exception."""
    start(level="debug")
    log = make("app")
    for method in ("adebug", "ainfo", "amsg", "awarning", "awarn", "aerror", "acritical", "afatal"):
        await getattr(log, method)(method, a=1)
    await log.alog(logging.INFO, "log %s", "it")
    try:
        raise KeyError("k")
    except KeyError:
        await log.aexception("failed")
    await asyncio.sleep(0)
    written = lines()
    assert written.pop()["exception"].endswith("\nKeyError: 'k'")
    assert written == [
        line("debug", "app", "adebug", a=1),
        line("info", "app", "ainfo", a=1),
        line("info", "app", "amsg", a=1),
        line("warning", "app", "awarning", a=1),
        line("warning", "app", "awarn", a=1),
        line("error", "app", "aerror", a=1),
        line("critical", "app", "acritical", a=1),
        line("critical", "app", "afatal", a=1),
        line("info", "app", "log it"),
    ]


@pytest.mark.parametrize("make", MAKERS)
def test_loggers_can_be_bound(start: Start, lines: Lines, make: Callable[[str], Any]) -> None:
    """`bind`, `new`, `unbind` and `try_unbind` give loggers of their own; the first one stays as it was."""
    start()
    log = make("app").bind(a=1, b=2)
    log.bind(c=3).info("bound")
    log.unbind("a").info("unbound")
    log.try_unbind("a", "z").info("tried")
    log.info("same", b=4)
    log.new(d=5).info("new")
    assert lines() == [
        line("info", "app", "bound", a=1, b=2, c=3),
        line("info", "app", "unbound", b=2),
        line("info", "app", "tried", b=2),
        line("info", "app", "same", a=1, b=4),
        line("info", "app", "new", d=5),
    ]


def test_arguments_are_put_into_the_event(start: Start, lines: Lines) -> None:
    """By position or by name; those that do not fit are shown beside it, and nothing raises."""
    start()
    log = get_logger("app")
    log.info("%s of %d", "a", 2)
    log.info("%(n)d left", {"n": 3})
    log.info("%d", "x")
    log.info("none", "left", 4)  # noqa: PLE1205
    log.info("100%")
    log.info(None)
    log.info()
    log.info({"a": 1})
    assert lines() == [
        line("info", "app", event) for event in ("a of 2", "3 left", "%d x", "none left 4", "100%", "", "", "{'a': 1}")
    ]


def test_exceptions_are_named_in_any_way(start: Start, lines: Lines) -> None:
    """`exc_info` is true, an exception or a triple; where there is none, the line has none."""
    start()
    log = get_logger("app")
    error = KeyError("k")
    log.info("e", exc_info=error)
    log.info("e", exc_info=(KeyError, error, None))
    log.info("e", exc_info=True)  # noqa: LOG014
    log.info("e", exc_info=(None, None, None))
    log.info("e", exc_info=False)
    try:
        raise ValueError("v")
    except ValueError:
        log.info("e", exc_info=True)
    written = lines()
    assert [item.pop("exception", None) for item in written[:5]] == ["KeyError: 'k'", "KeyError: 'k'", None, None, None]
    assert written[:5] == [line("info", "app", "e")] * 5
    assert written[5]["exception"].endswith("\nValueError: v")


def test_the_whole_chain_of_exceptions_is_one_text(start: Start, lines: Lines) -> None:
    """Causes, contexts and groups are in the one `exception`."""
    start()
    try:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise ValueError("second") from error
    except ValueError as error:
        get_logger("app").error("failed", exc_info=ExceptionGroup("group", [error]))
    (written,) = lines()
    text = written["exception"]
    for part in (
        "KeyError: 'first'",
        "direct cause of the following exception",
        "ValueError: second",
        "group (1 sub-exc",
    ):
        assert part in text


def test_a_stack_is_shown_on_request(start: Start, lines: Lines) -> None:
    """`stack_info=True` adds where the call was made."""
    start()
    get_logger("app").info("here", stack_info=True)
    (written,) = lines()
    stack = written.pop("stack_info")
    assert stack.startswith("Stack (most recent call last):\n")
    assert "test_a_stack_is_shown_on_request" in stack
    assert written == line("info", "app", "here")


def test_a_logger_without_name_has_its_modules(start: Start, lines: Lines) -> None:
    """Whichever way it was made, so that levels by name hold for it as well."""
    start()
    get_logger().info("ours")
    structlog.get_logger().info("theirs")
    structlog.get_logger(None).info("none")
    assert get_logger().name == __name__
    assert lines() == [line("info", __name__, event) for event in ("ours", "theirs", "none")]


def test_a_logger_says_what_it_would_write(start: Start) -> None:
    """Levels can be asked for, under both spellings."""
    log = get_logger("app")
    assert log.get_effective_level() == 0
    logs = start(level="warning")
    assert (log.is_enabled_for(20), log.isEnabledFor(30), log.getEffectiveLevel()) == (False, True, 30)
    logs.set_level("debug")
    assert log.is_enabled_for(10)


def test_loggers_made_before_are_taken_over(start: Start, lines: Lines, capsys: pytest.CaptureFixture[str]) -> None:
    """A module's logger, bound or not, logs as structlog does until an application is observed, and after that."""
    log, direct = get_logger("app"), structlog.get_logger("direct")
    bound = log.bind(a=1)
    bound.info("before")
    assert "before" in capsys.readouterr().out
    logs = start()
    for logger in (log, bound, direct):
        logger.info("while")
    assert lines() == [
        line("info", "app", "while"),
        line("info", "app", "while", a=1),
        line("info", "direct", "while"),
    ]
    logs.remove()
    bound.warning("after %s", "it", b=2)
    text = capsys.readouterr().out
    assert "after it" in text
    assert '{"timestamp"' not in text


def test_structlogs_own_configuration_comes_back(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    """What was configured before is put aside while an application is observed, and then in force again."""
    structlog.configure(
        processors=[structlog.processors.KeyValueRenderer()],
        wrapper_class=structlog.BoundLogger,
        logger_factory=structlog.PrintLoggerFactory(),
    )
    before = structlog.get_config()
    logs = start()
    structlog.get_logger("app").info("while")
    assert '"event":"while"' in capsys.readouterr().out
    logs.remove()
    assert structlog.get_config() == before
    get_logger("app").info("after", a=1)
    assert capsys.readouterr().out == "a=1 event='after'\n"


def test_nothing_configured_stays_nothing_configured(start: Start) -> None:
    """Without a configuration before, structlog has its defaults again."""
    start().remove()
    assert not structlog.is_configured()


def test_a_configuration_that_came_later_stays(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever configures structlog after `observe` is not undone by `remove`; their processors get the events."""
    logs = start(level="info")
    structlog.configure(processors=[structlog.processors.KeyValueRenderer()])
    log = structlog.get_logger("app")
    log.debug("hidden")
    log.info("theirs", a=1)
    assert '"event":"a=1 event=\'theirs\'"' in capsys.readouterr().out
    logs.remove()
    assert isinstance(structlog.get_config()["processors"][0], structlog.processors.KeyValueRenderer)


def test_a_processor_that_raises_breaks_nothing(start: Start) -> None:
    """Somebody's processor may fail: who logs does not learn of it, the count does."""

    def fail(*_: object) -> Any:
        raise RuntimeError("broken")

    start()
    structlog.configure(processors=[fail])
    structlog.get_logger("app").info("lost")
    assert failures.counts == {"logs": 1}


@pytest.mark.parametrize("make", MAKERS)
def test_structlogs_test_helper_captures_events(start: Start, lines: Lines, make: Callable[[str], Any]) -> None:
    """`capture_logs` gets the events with their fields, and nothing is written meanwhile."""
    start()
    log = make("app").bind(a=1)
    with capture_logs() as captured:
        log.info("captured", b=2)
        log.debug("hidden")
    log.info("written")
    assert captured == [{"event": "captured", "log_level": "info", "a": 1, "b": 2}]
    assert lines() == [line("info", "app", "written", a=1)]


def test_a_logger_captures_before_observe(capsys: pytest.CaptureFixture[str]) -> None:
    """The helper works where nothing is observed, too."""
    with capture_logs() as captured:
        get_logger("app").info("captured", b=2)
    assert captured == [{"event": "captured", "log_level": "info", "b": 2}]
    assert capsys.readouterr().out == ""


def test_a_wrapped_logger_may_be_of_any_kind(start: Start, lines: Lines) -> None:
    """structlog around something else keeps its name, if it has one; so does another of structlog's classes."""
    start()
    structlog.wrap_logger(object()).info("anonymous", a=1)
    structlog.wrap_logger(logging.getLogger("lib")).info("named")
    generic = structlog.wrap_logger(logging.getLogger("lib"), wrapper_class=structlog.BoundLogger)
    generic.debug("hidden")
    generic.warning("generic", a=1)
    assert lines() == [
        line("info", "", "anonymous", a=1),
        line("info", "lib", "named"),
        line("warning", "lib", "generic", a=1),
    ]
