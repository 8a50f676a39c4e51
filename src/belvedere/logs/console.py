"""Lines for people: time, level and event first, the rest as `key=value`, a traceback in lines of its own."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import orjson

_RESET: Final = "\x1b[0m"
_DIM: Final = "\x1b[2m"
_BOLD: Final = "\x1b[1m"
_CYAN: Final = "\x1b[36m"
_LEVELS: Final = {
    "debug": "\x1b[2m",
    "info": "\x1b[32m",
    "warning": "\x1b[33m",
    "error": "\x1b[31m",
    "critical": "\x1b[1;31m",
}
_HIDDEN: Final = frozenset({"service", "environment", "trace_id", "span_id"})
_SHORT: Final = 8
_EVENT_WIDTH: Final = 24


class Console:
    """Renders a line for a terminal, with colours if `colors`; `keys` are the names that its keys were given."""

    def __init__(self, keys: Mapping[str, str], *, colors: bool) -> None:
        self._colors = colors
        self._time, self._level, self._logger, self._event, self._id, self._exception, self._stack = (
            keys.get(key, key)
            for key in ("timestamp", "level", "logger", "event", "request_id", "exception", "stack_info")
        )
        hidden = {keys.get(key, key) for key in _HIDDEN}
        self._skipped = {self._time, self._level, self._logger, self._event, self._exception, self._stack} | hidden

    def __call__(self, line: Mapping[str, Any]) -> bytes:
        level = str(line[self._level])
        parts = [
            self._paint(_DIM, _local(line[self._time])),
            self._paint(_LEVELS.get(level, ""), f"{level:<8}"),
            self._paint(_BOLD, f"{printable(str(line[self._event])):<{_EVENT_WIDTH}}"),
            self._paint(_DIM, f"[{printable(str(line[self._logger]))}]"),
        ]
        for key, value in line.items():
            if key not in self._skipped:
                if key == self._id:
                    value = str(value)[:_SHORT]
                parts.append(f"{self._paint(_CYAN, printable(key))}={_word(value)}")
        text = " ".join(parts)
        for block in (line.get(self._stack), line.get(self._exception)):
            if block:
                text += "\n" + "\n".join(f"    {printable(row)}" for row in str(block).split("\n"))
        return f"{text}\n".encode("utf-8", "backslashreplace")

    def _paint(self, color: str, text: str) -> str:
        return f"{color}{text}{_RESET}" if self._colors and color else text


def printable(text: str) -> str:
    """Return `text` without control characters, which could rewrite what the terminal shows."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\t" else c.encode("unicode_escape").decode("ascii") for c in text)


def _word(value: Any) -> str:
    if isinstance(value, str) and value and value.isprintable() and not any(c in ' "=' for c in value):
        return value
    try:
        return printable(orjson.dumps(value).decode())
    except TypeError:
        return printable(repr(value))


def _local(timestamp: str) -> str:
    """Return the time of day where the terminal stands."""
    moment = datetime.fromisoformat(timestamp)
    return f"{time.strftime('%H:%M:%S', time.localtime(int(moment.timestamp())))}.{moment.microsecond // 1000:03d}"
