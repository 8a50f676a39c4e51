"""Most events in as few steps as possible: what a request leaves in the journal, and the JSON that it stands for.

A request's own time is dear, that of the delivery is not: code that runs once per request is in none of the processor's
near caches. So the request joins texts that need no quoting, and JSON is made of many events at once when they are
delivered. Events that have more to say are JSON from the beginning; either may lie beside the other.

An event is a byte that tells the layout, the moment (seconds since the epoch, 64 bits), 8 bytes of this process alone,
its number, the status, all of them little endian, and lines of UTF-8: event, method, what kind of subject, trace id,
path, subject, and `=` with the user.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from belvedere.interactions.event import Subject, encoded, event_id

LAYOUT: Final = 1
"""Of what this version writes. Whatever a later one writes instead, it goes on to read this one."""
SOMEBODY: Final = "="
"""What the last line begins with if there is a user."""
NOTHING: Final = ""
NUMBER: Final = "number"
TEXT: Final = "text"
"""What the subject is; a text that is no number is none of that kind."""

_FIRST: Final = bytes([LAYOUT])
_STAMP: Final = struct.Struct("<Bd8sQH")
_AT_ONCE: Final = 100
"""Events after which other threads may run; each takes about two microseconds."""

stamp = _STAMP.pack
"""Takes `LAYOUT`, the moment, the process, the number and the status."""


def head(event: str, method: str, kind: str) -> str:
    """Return what the events of a route begin with; "" where none of them can be a compact one."""
    return "" if "\n" in event + method else f"{event}\n{method}\n{kind}\n"


def spelled_out(events: Iterable[bytes]) -> list[bytes]:
    """Return events as the database takes them, each a JSON object; what is none is left to be refused."""
    made = []
    for at, event in enumerate(events, 1):
        made.append(_json(event) if event[:1] == _FIRST else event)
        if at % _AT_ONCE == 0:
            time.sleep(0)
    return made


def _json(event: bytes) -> bytes:
    try:
        _, moment, process, number, status = _STAMP.unpack_from(event)
        name, method, kind, trace_id, path, subject, user = event[_STAMP.size :].decode().split("\n")
        found = {
            "event_id": event_id(process.hex(), number),
            "event_type": name,
            "user_id": user[1:] if user else None,
            "subject": _subject(kind, subject),
            "path": path,
            "method": method,
            "status": status,
            "trace_id": trace_id,
            "metadata": {},
            "created_at": datetime.fromtimestamp(moment, UTC),
        }
        return encoded(found)
    except (struct.error, ValueError, OverflowError, OSError):
        return event


def _subject(kind: str, text: str) -> Subject:
    if kind != NUMBER:
        return text or None
    try:
        return int(text)
    except ValueError:
        return None
