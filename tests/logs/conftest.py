"""Logs that are installed for a test, and gone after it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from belvedere import context, failures
from belvedere.context import RequestContext
from belvedere.logs import Logs
from belvedere.logs.writer import Writer
from belvedere.settings import Settings
from tests.logs.lines import Line, parsed
from tests.logs.pipes import Pipe, stdout

VARIABLES = ("BELVEDERE_", "OTEL_", "SENTRY_", "LOG_LEVEL", "ENVIRONMENT", "APP_VERSION", "NO_COLOR")

Start = Callable[..., Logs]


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test begins without configuration, context and earlier failures, and leaves logging as it was."""
    for variable in [name for name in os.environ if name.startswith(VARIABLES)]:
        monkeypatch.delenv(variable)
    root = logging.getLogger()
    before = (list(root.handlers), root.level, logging.Logger.makeRecord)
    # Other tests run servers in this process, which leave levels and handlers behind.
    loggers = dict(logging.Logger.manager.loggerDict)
    logging.Logger.manager.loggerDict.clear()
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    failures.counts.clear()
    failures._last_logged.clear()
    token = context._fields.set({})
    yield
    context._fields.reset(token)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    after = (list(root.handlers), root.level, logging.Logger.makeRecord)
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    logging.Logger.makeRecord = before[2]  # type: ignore[method-assign]
    logging.Logger.manager.loggerDict.clear()
    logging.Logger.manager.loggerDict.update(loggers)
    assert after == before


@pytest.fixture
def start() -> Iterator[Start]:
    """Install logs after the settings that are given for `logs`; they are removed at the end."""
    installed: list[Logs] = []

    def start(*, service: str = "shop", environment: str = "test", **logs: Any) -> Logs:
        made = Logs(Settings(service=service, version="1.2.3", environment=environment, logs=logs))
        made.install()
        installed.append(made)
        return made

    yield start
    for made in reversed(installed):
        made.remove()


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[Line]]:
    """Return the lines that were written since it was last asked."""
    return lambda: parsed(capsys.readouterr().out)


@pytest.fixture
def within() -> Iterator[Callable[[RequestContext], None]]:
    """Let the rest of the test run inside a request."""
    tokens = []

    def within(request: RequestContext) -> None:
        tokens.append(context.current.set(request))

    yield within
    for token in reversed(tokens):
        context.current.reset(token)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


@pytest.fixture
def writer(pipe: Pipe) -> Iterator[Writer]:
    """A writer whose stdout is the pipe, and which tells how many lines it dropped."""
    made = Writer(stdout(pipe.stream))
    made.notice = lambda dropped: b"dropped %d\n" % dropped
    yield made
    made.close()
