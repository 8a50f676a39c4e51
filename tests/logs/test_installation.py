"""Logging belongs to the process: how several applications share it, and how it ends."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import structlog

from belvedere.logs import Logs, get_logger
from belvedere.logs import output as outputs
from belvedere.settings import Settings
from tests.logs.conftest import Start
from tests.logs.lines import Line, line

Lines = Callable[[], list[Line]]


def settings(service: str = "shop", **logs: Any) -> Settings:
    return Settings(service=service, environment="test", logs=logs)


def test_the_first_applications_settings_hold_for_all(start: Start, lines: Lines) -> None:
    """A second one with other settings is told so; lines outside requests have the first one's name."""
    first = start(level="warning")
    second = start(service="billing", level="debug")
    get_logger("app").info("hidden")
    get_logger("app").warning("shown")
    assert (first.shared, second.shared) == (False, True)
    assert lines() == [line("warning", "app", "shown")]


def test_the_same_settings_are_no_news(start: Start) -> None:
    """Two applications that agree share nothing worth telling."""
    assert [start().shared, start().shared] == [False, False]


def test_logging_ends_with_the_last_application(start: Start, lines: Lines) -> None:
    """Whichever is removed first, the other one goes on; removing twice is removing once."""
    root = logging.getLogger()
    before = list(root.handlers)
    first, second = start(), start(service="billing")
    first.remove()
    first.remove()
    get_logger("app").info("still")
    assert root.handlers != before
    second.remove()
    assert root.handlers == before
    assert outputs.active is None
    assert not structlog.is_configured()
    assert lines() == [line("info", "app", "still")]


def test_installing_twice_is_installing_once(start: Start) -> None:
    """One `remove` undoes any number of `install`."""
    logs = start()
    logs.install()
    logs.remove()
    assert outputs.active is None


def test_logs_can_be_installed_again(start: Start, lines: Lines) -> None:
    """After `remove`, `install` begins anew."""
    logs = start()
    logs.remove()
    logs.install()
    get_logger("app").info("again")
    assert lines() == [line("info", "app", "again")]


def test_a_removed_application_leaves_nothing_with_those_that_stay(start: Start) -> None:
    """Its access line hears of no level any more; a test suite makes hundreds of applications."""
    start()
    assert outputs.active is not None
    told = list(outputs.active.pipeline.levels.changed)
    for _ in range(3):
        logs = Logs(settings())
        logs.install()
        logs.install()
        logs.remove()
    assert outputs.active.pipeline.levels.changed == told


def test_what_is_not_installed_does_nothing() -> None:
    """Every method can be called at any time."""
    logs = Logs(settings())
    logs.remove()
    logs.reassert()
    logs.set_level("error")
    logs.flush()
    assert (logs.shared, logs.dropped) == (False, 0)


def test_servers_access_lines_are_silenced_while_any_application_has_its_own(start: Start, lines: Lines) -> None:
    """With the last application that writes access lines, the server's come back."""
    access = logging.getLogger("uvicorn.access")
    quiet, own = start(access=False), start(access=True)
    own.reassert()
    access.info("hidden")
    own.remove()
    access.info("shown")
    quiet.reassert()
    assert lines() == [line("info", "uvicorn.access", "shown")]


def test_switched_off_logs_have_defaults() -> None:
    """`Logs` without log settings, which wiring does not make, is one with the default settings."""
    assert Logs(Settings(logs=None)).format == "json"


def test_somebody_elses_output_is_not_taken_away(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever put another output in place of ours keeps it."""
    logs = start()
    other: Any = object()
    monkeypatch.setattr(outputs, "active", other)
    logs.remove()
    assert outputs.active is other
