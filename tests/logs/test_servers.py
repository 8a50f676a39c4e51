"""Servers: their lines in the pipeline, their access lines silenced, their reports of known exceptions dropped."""

from __future__ import annotations

import io
import logging
import logging.config
import sys
from collections.abc import Callable
from typing import Any

import pytest

from belvedere import failures
from belvedere.logs import mark_reported
from tests.logs.conftest import Start
from tests.logs.lines import Line, line, parsed
from tests.logs.loggers import UVICORN, console, state

Lines = Callable[[], list[Line]]


@pytest.mark.parametrize("access", [True, False])
def test_servers_log_through_the_pipeline(
    start: Start, lines: Lines, capsys: pytest.CaptureFixture[str], access: bool
) -> None:
    """Their lines look like all others; their access lines are written only where ours are not."""
    logging.config.dictConfig(UVICORN)
    start(access=access)
    logging.getLogger("uvicorn.error").info("Started server process [%d]", 7, extra={"color_message": "x"})
    logging.getLogger("uvicorn.access").info('%s - "%s %s HTTP/%s" %d', "192.0.2.7:5", "GET", "/", "1.1", 200)
    assert logging.getLogger("uvicorn.access").hasHandlers() is not access
    expected = [line("info", "uvicorn.error", "Started server process [7]")]
    if not access:
        expected.append(line("info", "uvicorn.access", '192.0.2.7:5 - "GET / HTTP/1.1" 200'))
    assert lines() == expected
    assert capsys.readouterr().err == ""


def test_a_servers_access_log_in_a_file_goes_on(start: Start, lines: Lines) -> None:
    """What gunicorn was told to write elsewhere, it still writes."""
    text = io.StringIO()
    logger = logging.getLogger("gunicorn.access")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.addHandler(logging.StreamHandler(text))
    start()
    logger.info("GET / 200")
    assert (text.getvalue(), lines()) == ("GET / 200\n", [])


def test_servers_obey_the_level(start: Start, lines: Lines) -> None:
    """A server's logger with a level of its own writes no line below that of the settings."""
    logging.config.dictConfig(UVICORN)
    start(level="error")
    logging.getLogger("uvicorn.error").info("hidden")
    logging.getLogger("uvicorn.error").error("shown")
    assert lines() == [line("error", "uvicorn.error", "shown")]


def test_what_a_server_configures_later_is_taken_over(start: Start, lines: Lines) -> None:
    """`uvicorn.run(app)` configures logging after `observe`: that is taken over when the application starts."""
    logs = start()
    logging.config.dictConfig(UVICORN)
    configured = state("uvicorn"), state("uvicorn.access")
    logs.reassert()
    logging.getLogger("uvicorn.error").info("shown")
    logging.getLogger("uvicorn.access").info("hidden")
    assert lines() == [line("info", "uvicorn.error", "shown")]
    logs.remove()
    assert (state("uvicorn"), state("uvicorn.access")) == configured


class StubbornError(Exception):
    """Refuses attributes."""

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(name)


def raised(error: BaseException, **chain: Any) -> BaseException:
    for name, value in chain.items():
        setattr(error, name, value)
    return error


def test_a_server_does_not_report_an_exception_again(start: Start, lines: Lines) -> None:
    """Its record is dropped when the exception was reported: itself, all of a group, or what it was raised from."""
    start()
    told, untold, stubborn = ValueError("told"), KeyError("untold"), StubbornError()
    mark_reported(told)
    mark_reported(stubborn)
    dropped = [
        *(told, stubborn),
        ExceptionGroup("all", [told, ExceptionGroup("inner", [told])]),
        raised(RuntimeError("from"), __cause__=told),
        raised(RuntimeError("during"), __context__=raised(OSError("between"), __context__=told)),
    ]
    kept = [
        untold,
        ExceptionGroup("some", [told, untold]),
        raised(RuntimeError("from none"), __context__=told, __suppress_context__=True),
    ]
    log = logging.getLogger("uvicorn.error")
    for error in (*dropped, *kept):
        log.error("Exception in ASGI application", exc_info=error)
    log.error("without")
    logging.getLogger("app").error("the application says", exc_info=told)
    written = lines()
    assert [item["event"] for item in written] == [
        *["Exception in ASGI application"] * 3,
        *("without", "the application says"),
    ]


def test_the_text_of_a_reported_exception_is_recognised(start: Start, lines: Lines) -> None:
    """granian logs a traceback as text: it is dropped as well, and other tracebacks and texts are not."""

    class NamelessError(Exception):
        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError(name)

    start()
    odd = {"name": "uvicorn.error", "levelno": 40, "exc_info": (None, NamelessError(), None)}
    # pytest's own handler, which comes first, raises for this one.
    logging.getLogger().handlers[-1].handle(logging.makeLogRecord(odd))
    assert failures.counts == {"logs": 1}
    assert [item["event"] for item in lines()] == ["internal_error"]
    mark_reported(ValueError("told\nin two lines"))
    mark_reported(NamelessError())
    log = logging.getLogger("_granian.utils")
    trace = "Application callable raised an exception\nTraceback (most recent call last):\n  File ...\nValueError: "
    for text in (f"{trace}told\nin two lines\n", f"{trace}untold", "ValueError: told\nin two lines"):
        log.error(text)
    logging.getLogger("app").error("%stold\nin two lines", trace)
    assert [(item["logger"], item["event"]) for item in lines()] == [
        ("_granian.utils", f"{trace}untold"),
        ("_granian.utils", "ValueError: told\nin two lines"),
        ("app", f"{trace}told\nin two lines"),
    ]


def test_a_server_that_configures_itself_late_is_taken_over_when_it_logs(
    start: Start, lines: Lines, capsys: pytest.CaptureFixture[str]
) -> None:
    """hypercorn makes its loggers with its first line, which is one of ours already: it is written nowhere else."""
    logs = start()
    logs.reassert()
    error, access = logging.getLogger("hypercorn.error"), logging.getLogger("hypercorn.access")
    error.handlers, access.handlers = [console(sys.stderr)], [console()]
    error.setLevel(logging.INFO)
    access.setLevel(logging.INFO)
    access.propagate = False
    error.info("Running on http://127.0.0.1:8000 (CTRL + C to quit)")
    error.info("second")
    access.info("GET / 200")
    captured = capsys.readouterr()
    assert captured.err == ""
    assert parsed(captured.out) == [
        line("info", "hypercorn.error", "Running on http://127.0.0.1:8000 (CTRL + C to quit)"),
        line("info", "hypercorn.error", "second"),
    ]


def test_a_server_that_keeps_its_lines_from_us_is_taken_over_when_it_logs(
    start: Start, lines: Lines, capsys: pytest.CaptureFixture[str]
) -> None:
    """gunicorn's worker gives uvicorn's loggers no way up, after the fork of a supervisor that has loaded."""
    start()
    logger = logging.getLogger("uvicorn.error")
    shared: list[logging.Handler] = []
    logger.handlers, logger.propagate = shared, False
    logger.setLevel(logging.INFO)
    logger.info("Started server process [7]")
    root = logging.getLogger()
    ours = root.handlers[-1]
    root.removeHandler(ours)
    logger.info("Waiting for application startup.")
    assert lines() == [
        line("info", "uvicorn.error", "Started server process [7]"),
        line("info", "uvicorn.error", "Waiting for application startup."),
    ]
    assert capsys.readouterr().err == ""


def test_circular_chains_of_exceptions_come_to_an_end(start: Start, lines: Lines) -> None:
    """Exceptions that name each other as context are looked at for a while."""
    start()
    first, second = ValueError("first"), ValueError("second")
    first.__context__, second.__context__ = second, first
    logging.getLogger("uvicorn.error").error("failed", exc_info=first)
    assert [item["event"] for item in lines()] == ["failed"]
