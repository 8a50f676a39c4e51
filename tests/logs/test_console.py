"""Lines for people: on a terminal, and whenever they are asked for."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from belvedere.logs import Logs, get_logger
from belvedere.logs.console import printable
from belvedere.settings import Settings
from tests.logs.conftest import Start
from tests.logs.lines import request

Shown = Callable[[], list[str]]

_TIME_OF_DAY = re.compile(r"^(\x1b\[2m)?\d\d:\d\d:\d\d\.\d{3}", re.MULTILINE)


def rows(text: str) -> list[str]:
    """Return the rows of an output, with the time of day taken out."""
    return _TIME_OF_DAY.sub(r"\1TIME", text).splitlines()


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Shown:
    """Return the rows that were written since it was last asked."""
    return lambda: rows(capsys.readouterr().out)


class Terminal(io.StringIO):
    """A stdout that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_line_is_one_readable_row(start: Start, shown: Shown, within: Any) -> None:
    """Time, level, event, logger, then the rest; no service, no trace, the request's id in short, no colours."""
    start(format="console", fields={"region": "eu"})
    within(request(span_id="00f067aa0ba902b7"))
    fields = {"note": "two words", "empty": "", "quoted": 'a"b', "data": {"a": [1]}, "none": None}
    get_logger("app").info("order_placed", order_id=7, **fields)
    get_logger("app").warning("a longer event than most of the others", password="p")
    assert shown() == [
        'TIME info     order_placed             [app] request_id=5b6a3c52 region=eu order_id=7 note="two words" '
        'empty="" quoted="a\\"b" data={"a":[1]} none=null',
        "TIME warning  a longer event than most of the others [app] request_id=5b6a3c52 region=eu password=[redacted]",
    ]


def test_the_access_line_is_readable_too(start: Start, shown: Shown) -> None:
    """It goes the same way."""
    logs = start(format="console")
    assert logs.access is not None
    logs.access.finish(request(status=404, path="/none", endpoint="unmatched"))
    assert shown() == [
        "TIME warning  request_processed        [belvedere.access] request_id=5b6a3c52 method=GET path=/none "
        "endpoint=unmatched status=404 latency_ms=12.5 response_bytes=42 client=192.0.2.7"
    ]


def test_a_traceback_stands_below_its_line(start: Start, shown: Shown) -> None:
    """An exception and a stack are shown in rows of their own."""
    start(format="console")
    get_logger("app").error("failed", exc_info=ValueError("first\nsecond"), stack_info=True)
    rows = shown()
    assert rows[0] == "TIME error    failed                   [app]"
    assert rows[1] == "    Stack (most recent call last):"
    assert rows[-2:] == ["    ValueError: first", "    second"]


def test_renamed_keys_are_read_as_before(start: Start, shown: Shown) -> None:
    """The row does not depend on the names that keys have in JSON."""
    start(format="console", keys={"event": "message", "level": "severity", "timestamp": "ts", "logger": "name"})
    get_logger("app").info("order_placed", order_id=7)
    assert shown() == ["TIME info     order_placed             [app] order_id=7"]


def test_colours_are_for_terminals(monkeypatch: pytest.MonkeyPatch, start: Start) -> None:
    """On a terminal the level, the event and the keys stand out; `NO_COLOR` without a value says nothing."""
    monkeypatch.setenv("NO_COLOR", "")
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    logs = start(environment="local")
    assert (logs.format, logs.format_reason) == ("console", "stdout is a terminal")
    get_logger("app").info("order_placed", order_id=7)
    get_logger("app").log(30, "careful")
    assert rows(terminal.getvalue()) == [
        "\x1b[2mTIME\x1b[0m \x1b[32minfo    \x1b[0m \x1b[1morder_placed            \x1b[0m \x1b[2m[app]\x1b[0m "
        "\x1b[36morder_id\x1b[0m=7",
        "\x1b[2mTIME\x1b[0m \x1b[33mwarning \x1b[0m \x1b[1mcareful                 \x1b[0m \x1b[2m[app]\x1b[0m",
    ]


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch, start: Start) -> None:
    """`NO_COLOR` with any value turns colours off."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    start(environment="local")
    get_logger("app").info("order_placed")
    assert rows(terminal.getvalue()) == ["TIME info     order_placed             [app]"]


def test_a_real_terminal_is_recognised() -> None:
    """A process on a terminal writes for people."""
    code = """if True:
        from belvedere.logs import Logs, get_logger
        from belvedere.settings import Settings
        Logs(Settings()).install()
        get_logger("app").info("order_placed")
    """
    own, theirs = pty.openpty()
    environ = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    subprocess.run([sys.executable, "-c", code], stdout=theirs, env=environ, check=True, timeout=240)
    os.close(theirs)
    text = os.read(own, 4096).decode()
    os.close(own)
    assert rows(text) == [
        "\x1b[2mTIME\x1b[0m \x1b[32minfo    \x1b[0m \x1b[1morder_placed            \x1b[0m \x1b[2m[app]\x1b[0m"
    ]


@pytest.mark.parametrize(
    ("environment", "chosen", "format", "reason"),
    [
        ("local", "auto", "console", "stdout is a terminal"),
        ("staging", "auto", "console", "stdout is a terminal"),
        ("prod", "auto", "json", "the environment is prod"),
        ("production", "auto", "json", "the environment is production"),
        ("local", "json", "json", "set"),
        ("prod", "console", "console", "set"),
    ],
)
def test_the_format_follows_terminal_and_environment(
    monkeypatch: pytest.MonkeyPatch, environment: str, chosen: str, format: str, reason: str
) -> None:
    """`auto` is for people only on a terminal, and never in production; the report tells why."""
    monkeypatch.setattr(sys, "stdout", Terminal())
    logs = Logs(Settings(environment=environment, logs={"format": chosen}))
    assert (logs.format, logs.format_reason) == (format, reason)


def test_without_terminal_the_format_is_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe, a file, no stdout at all: lines are for machines."""
    assert Logs(Settings()).format_reason == "stdout is no terminal"
    monkeypatch.setattr(sys, "stdout", None)
    logs = Logs(Settings())
    assert (logs.format, logs.format_reason) == ("json", "stdout is no terminal")


def test_control_characters_do_not_reach_the_terminal(start: Start, shown: Shown) -> None:
    """What a client sent cannot clear the screen, change colours or begin a new row."""
    start(format="console")
    get_logger("app").info("a\x1b[2Jb\nc", note="\x1b[31m\n", **{"k\x07": "ü"})
    assert shown() == ['TIME info     a\\x1b[2Jb\\nc             [app] note="\\u001b[31m\\n" k\\x07=ü']
    assert printable("tab\tstays") == "tab\tstays"


def test_what_cannot_be_encoded_is_escaped(start: Start, shown: Shown) -> None:
    """Lone surrogates and huge numbers are shown somehow."""
    start(format="console")
    get_logger("app").info("\udcff", note="\udcff", large=2**70)
    assert shown() == [f"TIME info     \\udcff                   [app] note='\\udcff' large={2**70}"]


def test_the_time_is_that_of_the_place(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    """People read local time."""
    start(format="console")
    before = time.strftime("%H:%M")
    get_logger("app").info("now")
    assert capsys.readouterr().out[:5] in {before, time.strftime("%H:%M")}
