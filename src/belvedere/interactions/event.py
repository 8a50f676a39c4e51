"""One interaction as the journal holds it: a JSON object."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from typing import Any, Final

import orjson

Subject = str | int | None

LONGEST: Final = 2048
"""Characters of a path, a user's id or a subject that are kept."""

_SPARE: Final = 32


class Process:
    """What the ids of all events of this process begin with, and nobody else's: 64 random bits."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Make other ids than before."""
        self.bytes = os.urandom(8)
        self.digits = self.bytes.hex()


process = Process()
numbers = itertools.count(int.from_bytes(os.urandom(4)))
"""Of this process's events."""
_spare: list[str] = []
"""Ids that no event has yet, the next one last: making many in a row costs a fraction of what each by itself does."""


def make_id() -> str:
    """Return 32 hex digits that nobody else has: the process's 64 random bits, and a number that counts up.

    Ids of a process that follow one another lie beside one another in the database's index.
    """
    try:
        return _spare.pop()
    except IndexError:
        made = [event_id(process.digits, number) for number in itertools.islice(numbers, _SPARE)]
        _spare.extend(made[:0:-1])
        return made[0]


def event_id(process: str, number: int) -> str:
    """Return the id of an event."""
    return f"{process}{number:016x}"


def _differ() -> None:
    """In a forked child: make other ids than the parent."""
    process.begin()
    _spare.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_differ)


def encoded(event: dict[str, Any]) -> bytes:
    """Return an event as one JSON object.

    Moments are written as `2026-11-21T15:27:57.123456Z`. Text that a database would refuse, NUL and half a surrogate
    pair, is replaced by U+FFFD.
    """
    try:
        made = orjson.dumps(event, option=orjson.OPT_UTC_Z)
    except orjson.JSONEncodeError:
        return orjson.dumps(clean(event), option=orjson.OPT_UTC_Z)
    # `in` would first try the bytes as a number, and that fails with an exception.
    return made if made.find(b"\\u0000") < 0 else orjson.dumps(clean(event), option=orjson.OPT_UTC_Z)


def clean(value: Any) -> Any:
    """Return `value` without what PostgreSQL refuses in text and JSON."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace").replace("\0", "\ufffd")
    if isinstance(value, Mapping):
        return {clean(str(key)): clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(item) for item in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return None
    return value
