"""Secrets within a text, as people and programs write them down: JSON, lines of headers or settings, markup, forms.

Logs show a `token: …` of a message, as most of them are prose. What is kept for long in a database does not.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import unquote_plus

import orjson

from belvedere.conventions import REDACTED

hides = re.compile(r"[^\w ,.!?'()+-]").search
"""Finds what a text has, if anything is written in it: without quotes, `:`, `=`, `<` and `%` nothing is."""

_ESCAPED: Final = re.compile(r'\\+(?=")')

# `X-Api-Key: …`, `password = …`, `<password>…`, and in the parts of a form, `name="password"`, empty line, `…`.
_KEY: Final = re.compile(
    r"(?<![\w./-])([A-Za-z_][\w.-]{1,63})"
    r"(?:[ \t]{0,4}:[ \t]{1,8}|[ \t]{1,4}=[ \t]{0,8}|=[ \t]{1,8}|>"
    r"|\"[^\r\n]{0,128}\r?\n(?:[^\r\n]{1,128}\r?\n){0,4}\r?\n)"
)
_VALUE: Final = re.compile(r"[^\r\n<]{1,4096}")


def document(text: str) -> Any:
    """Return the object, list or text that a JSON document is; None where there is none."""
    if text.lstrip()[:1] not in ("{", "[", '"'):
        return None
    try:
        found = orjson.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, (dict, list, str)) else None


def decoded(text: str) -> str:
    """Return what whoever wrote a form or JSON into another text meant: its names and values can be looked at."""
    if "%" in text and ("%40" in text or "=" in text or "%3" in text):
        text = unquote_plus(text)
    return _ESCAPED.sub("", text) if '\\"' in text else text


def without_values(text: str, is_secret: Callable[[str], bool]) -> str:
    """Return `text` without what follows a secret key on its line, in its element or in its part of a form."""
    parts: list[str] = []
    done = 0
    for found in _KEY.finditer(text):
        if found.start() < done or not is_secret(found[1]):
            continue
        if (value := _VALUE.match(text, found.end())) is not None:
            parts += (text[done : found.end()], REDACTED)
            done = value.end()
    return "".join((*parts, text[done:])) if parts else text
