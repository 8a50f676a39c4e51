"""What was wrong with a request, without repeating what it said.

Each error keeps `loc`, `msg` and `type`; `input` and `ctx` hold the values themselves. A message may hold them too:
those of the application's own validators do, and some of pydantic's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic_core.core_schema import ErrorType

from belvedere.conventions import REDACTED

Detail = dict[str, Any]

LEAST_LENGTH = 4
"""Values of fewer characters are left in a message: they cannot be told from its words, and keep no secret."""
MOST_VALUES = 1_000
MOST_CHARACTERS = 2_000
"""With more values in the input, or a longer message, nothing is searched: the message is the plain one of its type."""

_FREE_TEXT = frozenset(
    {
        "value_error",
        "assertion_error",
        "union_tag_invalid",
        "get_attribute_error",
        "iteration_error",
        "mapping_type",
        "datetime_object_invalid",
        "json_invalid",
    }
)
"""Types of pydantic's whose message may repeat the input: they embed an exception's text, or a tag."""
_SAFE_TYPES = frozenset(get_args(ErrorType)) - _FREE_TEXT
"""Types whose message is made of the schema alone; those that pydantic does not know are the application's own."""
_PLAIN_MESSAGES = {"value_error": "Value error", "assertion_error": "Assertion failed"}


def details(errors: Sequence[Any]) -> list[Detail]:
    """Return `loc`, `msg` and `type` of each error, whoever raised it."""
    return [_detail(error) for error in errors]


def _detail(error: Any) -> Detail:
    if not isinstance(error, Mapping):
        return {"loc": [], "msg": "Invalid value", "type": "value_error"}
    kind = str(error.get("type", "value_error"))
    location = error.get("loc", ())
    if isinstance(location, str) or not isinstance(location, Sequence):
        location = (location,)
    return {
        "loc": [part if isinstance(part, int) else str(part) for part in location],
        "msg": _message(kind, error),
        "type": kind,
    }


def _message(kind: str, error: Mapping[str, Any]) -> str:
    message = str(error.get("msg", "Invalid value"))
    if kind in _SAFE_TYPES:
        return message
    context = error.get("ctx")
    if kind == "union_tag_invalid" and isinstance(context, Mapping):
        return (
            f"Input tag found using {context.get('discriminator')} "
            f"does not match any of the expected tags: {context.get('expected_tags')}"
        )
    if len(message) > MOST_CHARACTERS:
        return _PLAIN_MESSAGES.get(kind, "Invalid value")
    values: set[str] = set()
    for count, value in enumerate(_values(error.get("input"))):
        if count == MOST_VALUES:
            return _PLAIN_MESSAGES.get(kind, "Invalid value")
        if len(value) <= len(message):
            values.update((value.strip(), repr(value)[1:-1]))
    # Longer ones first: one may be part of another.
    for text in sorted((text for text in values if len(text) >= LEAST_LENGTH), key=len, reverse=True):
        message = re.sub(re.escape(text), REDACTED, message, flags=re.IGNORECASE)
    return message


def _values(value: Any) -> Iterator[str]:
    """Yield the text of all that is in an input, of containers none; without recursion: the caller chose its depth."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        text = ""
        if isinstance(value, Mapping):
            waiting.extend(value.values())
        elif isinstance(value, list | tuple | set | frozenset):
            waiting.extend(value)
        elif isinstance(value, bytes | bytearray):
            text = value.decode("utf-8", "replace")
        elif value is not None and not isinstance(value, bool):
            text = str(value)
        yield text
