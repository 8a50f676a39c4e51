"""Levels that a file changes while the service runs."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

import belvedere
from belvedere import failures
from belvedere.logs import Logs, get_logger
from belvedere.logs.levelfile import LARGEST, LevelFile, levels
from tests.logs.conftest import Start
from tests.logs.lines import Line, line, parsed
from tests.logs.pipes import until

Lines = Callable[[], list[Line]]
REMEDY = "put it right or remove it; until then the levels stay as they are"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "levels.json"


def look(logs: Logs) -> None:
    """Do what a loop does every second."""
    assert logs.level_file is not None
    logs.level_file.look()


def put(path: Path, text: str) -> None:
    path.write_text(text)


def watched(logs: Logs) -> bool:
    return logs.level_file is not None and logs.level_file.watched


def changed(path: Path, before: str, to: str, **quiet: str) -> Line:
    fields: dict[str, Any] = {"from": before, "to": to, "quiet": quiet, "path": str(path), "pid": os.getpid()}
    return line("info", "belvedere", "log_level_changed", **fields)


def say_all() -> None:
    for level in (logging.DEBUG, logging.INFO, logging.WARNING):
        logging.getLogger("lib.engine").log(level, "standard")
        get_logger("app").log(level, "structlog")


def test_a_file_changes_levels_and_its_end_gives_back_the_settings(start: Start, lines: Lines, path: Path) -> None:
    """Both kinds of loggers follow at once; each change is told once, whatever the level is then."""
    logs = start(level="warning", quiet={"other": "error"}, levels=str(path))
    look(logs)
    assert lines() == []
    path.write_text('{"level": "DEBUG", "quiet": {"lib": "warning"}}')
    look(logs)
    look(logs)
    say_all()
    assert lines() == [
        changed(path, "warning", "debug", other="error", lib="warning"),
        line("debug", "app", "structlog"),
        line("info", "app", "structlog"),
        line("warning", "lib.engine", "standard"),
        line("warning", "app", "structlog"),
    ]
    path.write_text('{"level": "critical"}')
    look(logs)
    say_all()
    assert lines() == [changed(path, "debug", "critical", other="error")]
    assert logging.getLogger("lib").level == logging.NOTSET
    path.write_text("")
    look(logs)
    assert lines() == [changed(path, "critical", "warning", other="error")]
    path.unlink()
    look(logs)
    say_all()
    assert lines() == [line("warning", "lib.engine", "standard"), line("warning", "app", "structlog")]


def test_what_the_file_says_at_the_start_is_in_force_from_the_first_line(
    start: Start, lines: Lines, path: Path
) -> None:
    """A restart keeps what was changed: nothing changes then, and nothing is told."""
    path.write_text('{"quiet": {"app": "debug"}}')
    logs = start(levels=str(path))
    look(logs)
    get_logger("app").debug("shown")
    assert lines() == [line("debug", "app", "shown")]


def test_a_link_that_is_swapped_is_seen(start: Start, lines: Lines, tmp_path: Path, path: Path) -> None:
    """As Kubernetes does with a ConfigMap: what the name leads to is another file, of the same size and time."""
    for name, level in (("one", "debug"), ("two", "error")):
        (tmp_path / name).write_text(json.dumps({"level": level}))
        os.utime(tmp_path / name, (1, 1))
    path.symlink_to("one")
    logs = start(levels=str(path))
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").rename(path)
    look(logs)
    assert lines() == [changed(path, "debug", "error")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"level": "loud"}', "level: 'loud' is no level; there are debug, info, warning, error, critical"),
        ('{"quiet": {"a": 7}}', "quiet, a: 7 is no level; there are debug, info, warning, error, critical"),
        ('{"quiet": ["a"]}', "quiet is no object of loggers and levels; write {example}"),
        ('{"levels": 1, "x": 2}', "there is no 'levels', 'x'; write {example}"),
        ("[]", "it is no object; write {example}"),
        (" " * (LARGEST + 1), f"it has more than {LARGEST} bytes"),
    ],
)
def test_a_bad_file_changes_nothing_and_is_told_once(
    start: Start, lines: Lines, path: Path, text: str, reason: str
) -> None:
    """What is wrong, where, and what to do; the next good one is taken."""
    path.write_text('{"level": "error"}')
    logs = start(levels=str(path))
    path.write_text(text)
    for _ in range(3):
        look(logs)
    reason = reason.replace("{example}", '{"level": "debug", "quiet": {"sqlalchemy.engine": "warning"}}')
    fields = {"reason": reason, "remedy": REMEDY, "path": str(path), "pid": os.getpid()}
    assert lines() == [line("warning", "belvedere", "log_levels_refused", **fields)]
    assert logs.level == "error"
    assert logs.level_file is not None
    assert logs.level_file.problem == reason
    path.write_text('{"level": null, "quiet": null}')
    look(logs)
    assert lines() == [changed(path, "error", "info")]
    assert logs.level_file.problem is None


def test_what_is_no_json_is_told_with_its_place(start: Start, lines: Lines, path: Path) -> None:
    """The parser's own words, which differ from one to the next of its versions."""
    path.write_text('{"level": "debug",}')
    look(start(levels=str(path)))
    (told,) = lines()
    assert str(told["reason"]).startswith("it is no JSON: ")
    assert "line 1 column 1" in str(told["reason"])


def test_what_is_no_file_is_told(start: Start, lines: Lines, path: Path) -> None:
    """A folder, or whatever cannot be read; at the start it is kept for the first look."""
    path.mkdir()
    logs = start(levels=str(path))
    assert lines() == []
    look(logs)
    look(logs)
    (told,) = lines()
    assert (told["event"], told["reason"]) == ("log_levels_refused", "it cannot be read: it is no regular file")
    path.rmdir()
    look(logs)
    assert (lines(), logs.level_file and logs.level_file.problem) == ([], None)


def test_a_file_that_may_not_be_read_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the system's own words."""

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    told: list[str] = []
    file = LevelFile("somewhere", "info", {}, apply=lambda *_: None, refuse=told.append)
    monkeypatch.setattr("belvedere.logs.levelfile.os.open", refuse)
    file.look()
    assert told == ["it cannot be read: Permission denied"]


def test_a_text_says_why_there_are_no_levels() -> None:
    """Content is bytes, nothing at all is no levels."""
    assert levels(b" \n") == (None, {})
    with pytest.raises(ValueError, match="it cannot be read: gone"):
        levels("gone")


async def test_an_application_looks_every_second_while_its_lifespan_runs(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From its start on, so that its first line tells the level in force; `remove` and the end of it stop that."""
    monkeypatch.setattr("belvedere.logs.levelfile.EVERY", 0.001)
    app = FastAPI(title="Shop")
    observability = belvedere.observe(app, settings=belvedere.Settings(logs={"levels": str(path)}))
    assert observability._logs is not None
    file = observability._logs.level_file
    assert file is not None
    put(path, '{"level": "debug"}')
    once = "looked at once: later changes are seen while the application's lifespan runs"
    assert observability.report()["logs"]["why"] == f"json (stdout is no terminal), levels from {path}, {once}"
    ended = asyncio.Event()

    async def receive() -> dict[str, str]:
        if not asking:
            await ended.wait()
            return {"type": "lifespan.shutdown"}
        return asking.pop()

    asking = [{"type": "lifespan.startup"}]
    sent: list[str] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message["type"])

    serving = asyncio.create_task(app({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send))  # type: ignore[arg-type]
    await until(lambda: sent == ["lifespan.startup.complete"])
    starting = [one for one in parsed(capsys.readouterr().out) if one["event"] == "application_starting"]
    assert starting[0]["log_level"] == "DEBUG"
    assert starting[0]["features"]["logs"].endswith(f"levels from {path}, looked at every second")
    put(path, "no")
    await until(lambda: file.problem is not None)
    assert observability.report()["logs"]["why"].endswith(f"; not used now: {file.problem}")
    put(path, '{"level": "error"}')
    await until(lambda: not get_logger("app").isEnabledFor(30))
    with monkeypatch.context() as patched:
        patched.setattr(file, "apply", lambda *_: 1 / 0)
        put(path, "{}")
        await until(lambda: failures.counts["logs"] == 1)
    assert watched(observability._logs)
    ended.set()
    await serving
    assert not watched(observability._logs)
    observability.remove()


async def test_the_last_of_several_applications_stops_looking(start: Start, path: Path) -> None:
    """They share one file, which is looked at once for all of them."""
    first, second = start(levels=str(path)), start(levels=str(path))
    for logs in (first, second, second):
        logs.watch()
    first.unwatch()
    assert watched(first)
    second.remove()
    assert not watched(first)
    second.unwatch()


def test_a_loop_that_has_ended_looks_no_more(start: Start, path: Path) -> None:
    """A second one takes over."""
    logs = start(levels=str(path))

    async def run() -> None:
        logs.watch()

    asyncio.run(run())
    assert not watched(logs)
    asyncio.run(run())
