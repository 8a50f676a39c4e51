"""One interaction as the journal holds it: a JSON object."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any, Final

import orjson

Subject = str | int | None

LONGEST: Final = 2048
"""Characters of a path, a user's id or a subject that are kept."""

_IDS: Final = 64
_spare_ids: list[str] = []
"""Ids that no event has yet: a system call for each would cost more than all else about it."""


def make_id() -> str:
    """Return 32 hex digits that nobody else has."""
    try:
        return _spare_ids.pop()
    except IndexError:
        digits = os.urandom(16 * _IDS).hex()
        _spare_ids.extend([digits[at : at + 32] for at in range(32, 32 * _IDS, 32)])
        return digits[:32]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_spare_ids.clear)


_second: tuple[int, str] = (-1, "")


def timestamp(nanoseconds: int) -> str:
    """Return a time as `2026-11-21T15:27:57.123456Z`."""
    global _second
    seconds, rest = divmod(nanoseconds // 1000, 1_000_000)
    at, text = _second
    if at != seconds:
        text = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(seconds))
        _second = (seconds, text)
    return "%s%06dZ" % (text, rest)  # noqa: UP031 - half the time of an f-string


def encoded(event: dict[str, Any]) -> bytes:
    """Return an event as one JSON object.

    Text that a database would refuse, NUL and half a surrogate pair, is replaced by U+FFFD.
    """
    try:
        made = orjson.dumps(event)
    except orjson.JSONEncodeError:
        return orjson.dumps(clean(event))
    return orjson.dumps(clean(event)) if b"\\u0000" in made else made


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
