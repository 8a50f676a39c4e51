"""Events as the journal has them."""

from __future__ import annotations

import itertools
from typing import Any

import orjson

MOMENT = "2026-11-21T15:27:57.123456Z"
_numbers = itertools.count(1)


def event(**fields: Any) -> dict[str, Any]:
    """Return an event with an id of its own."""
    return {
        "event_id": f"{next(_numbers):032x}",
        "event_type": "view_scholarship",
        "user_id": "ada",
        "subject": "7",
        "path": "/scholarships/7",
        "method": "GET",
        "status": 200,
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "metadata": {},
        "created_at": MOMENT,
        **fields,
    }


def payload(**fields: Any) -> bytes:
    """Return the JSON of an event."""
    return orjson.dumps(event(**fields))
