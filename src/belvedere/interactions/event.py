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

_prefix = os.urandom(8).hex()
"""Of this process alone, in all its ids."""
_numbers = itertools.count(int.from_bytes(os.urandom(4)))
_spare: list[str] = []
"""Ids that no event has yet, the next one last: making many in a row costs a fraction of what each by itself does."""


def make_id() -> str:
    """Return 32 hex digits that nobody else has: the process's 64 random bits, and a number that counts up.

    Ids of a process that follow one another lie beside one another in the database's index.
    """
    try:
        return _spare.pop()
    except IndexError:
        made = [f"{_prefix}{number:016x}" for number in itertools.islice(_numbers, _SPARE)]
        _spare.extend(made[:0:-1])
        return made[0]


def _differ() -> None:
    """In a forked child: make other ids than the parent."""
    global _prefix
    _prefix = os.urandom(8).hex()
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
    return orjson.dumps(clean(event), option=orjson.OPT_UTC_Z) if b"\\u0000" in made else made


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
