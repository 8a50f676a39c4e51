"""Secrets in texts that are documents, lines, markup or forms themselves."""

from __future__ import annotations

import json
import time
from collections import OrderedDict, deque
from typing import Any

import pytest

from belvedere.interactions.metadata import Sanitiser
from belvedere.redaction import Redactor

PART = 'Content-Disposition: form-data; name="password"\r\nContent-Type: text/plain\r\n\r\nhunter2\r\n--x--'


def shown(value: Any) -> Any:
    return Sanitiser(Redactor(personal=True)).fields({"field": value})["field"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"pin": 1234, "n": 1}', '{"pin": "[redacted]", "n": 1}'),
        (
            '[{"passwords": ["hunter2"]}, {"token": {"new": "hunter2"}}]',
            '[{"passwords": "[redacted]"}, {"token": "[redacted]"}]',
        ),
        (json.dumps(json.dumps({"password": "hunter2"})), '"{\\"password\\": \\"[redacted]\\"}"'),
        ('sent {\\"password\\": \\"hunter2\\"}', 'sent {"password": "[redacted]"}'),
        ('{"password": "hunter2"', '{"password": "[redacted]"'),
        ('{"a": [1, {"b": null}]}', '{"a": [1, {"b": null}]}'),
        ("[" * 5000, "[" * 1023 + "…"),
        ("X-Api-Key: hunter2\nAccept: text/html", "X-Api-Key: [redacted]\nAccept: text/html"),
        ("Cookie: a=b; c=hunter2", "Cookie: [redacted]"),
        ("user:\n  password: hunter2\n  level: 3", "user:\n  password: [redacted]\n  level: 3"),
        ("password = hunter2", "password = [redacted]"),
        ("<user><password>hunter2</password> of 3</user>", "<user><password>[redacted]</password> of 3</user>"),
        (PART, PART.replace("hunter2", "[redacted]")),
        (PART.encode(), PART.replace("hunter2", "[redacted]")),
        ("token: hunter2 password: hunter2", "token: [redacted]"),
        ("climate: research of 2026", "climate: research of 2026"),
        ("50%25 of it", "50%25 of it"),
    ],
    ids=lambda text: text[:20] if isinstance(text, str) else "bytes",
)
def test_a_text_is_read_as_it_was_meant(text: Any, expected: str) -> None:
    """Keys count in JSON, escaped or cut off, on lines, in elements and in parts of forms; the rest stays."""
    assert shown(text) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (deque([("password", "hunter2")]), [["password", "[redacted]"]]),
        ({"password": "hunter2"}.items(), [["password", "[redacted]"]]),
        ({"ann@example.org": 1}.keys(), ["[redacted]"]),
        (OrderedDict(token="hunter2").items(), [["token", "[redacted]"]]),
        (range(3), [0, 1, 2]),
    ],
)
def test_whatever_has_items_is_a_list(value: Any, expected: list[Any]) -> None:
    """Not the text that it makes of itself, in which no key would be found."""
    assert shown(value) == expected


@pytest.mark.parametrize("piece", ['aa"', "aa: ", '{"a":', '\\"', "aa=", 'name="a"\n', "a\n", "<a>", "[", '"'])
def test_hostile_texts_take_little_time(piece: str) -> None:
    """A text of any length is looked at in time that does not count."""
    began = time.thread_time()  # of this thread alone: others of the process have theirs
    shown(piece * (1_000_000 // len(piece)))
    assert time.thread_time() - began < 0.25
