"""Texts whose shape gives them away: credentials, tokens, addresses, card numbers.

Every search is linear in the length of the text, as the text may be whatever a client sent: each shape has a plain
substring that is looked for first, and a bound on what is read around it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Final

from belvedere.conventions import REDACTED
from belvedere.redaction.cards import SHORTEST, may_hold_cards, without_cards


def without_shapes(text: str, is_secret: Callable[[str], bool]) -> str:
    """Return `text` with everything replaced whose shape gives it away.

    Recognised are JWTs, `Bearer` and `Basic` credentials, passwords in URLs, e-mail addresses, card numbers, and
    `key=value` or `"key": "value"` where `is_secret(key)`.
    """
    if is_plain(text):
        return text
    if "://" in text:
        text = _without_url_passwords(text)
    if "eyJ" in text:
        text = _without_jwts(text)
    if " " in text and ("earer" in text or "asic" in text or "EARER" in text or "ASIC" in text):
        text = _SCHEMES.sub(_credential, text)
    if "=" in text or "':" in text or '":' in text:
        text = _without_assignments(text, is_secret)
    if "@" in text:
        text = _without_addresses(text)
    if len(text) >= SHORTEST and may_hold_cards(text) is not None:
        text = without_cards(text)
    return text


_PLAIN: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_.~/-"


def is_plain(text: str) -> bool:
    """Whether nothing in a text has room for a shape, as in most paths and names: no regular expression is needed."""
    if not text.isascii():
        return False
    digits = text.encode().translate(None, _PLAIN)
    return len(digits) < SHORTEST and (not digits or digits.isdigit()) and "eyJ" not in text


# `key=value` anywhere, and `"key": "value"` as JSON and `repr` write it, bytes included. The key begins where a word
# does, which keeps a long word from being read again from each of its letters.
_KEY: Final = re.compile(r"""(?<![\w.-])(?:[bru]?["'])?([A-Za-z_][\w.-]{1,63})(=|["']\s?:\s?)""")
_VALUE: Final = re.compile(
    r"""\[redacted\]|[bru]?"(?:[^"\\\n]|\\.){0,4096}"?|[bru]?'(?:[^'\\\n]|\\.){0,4096}'?|[^\s&,;"'<>)}\]]+"""
)


def _without_assignments(text: str, is_secret: Callable[[str], bool]) -> str:
    """Replace the values of secret keys; those of others are read on, as they may hold keys themselves."""
    parts: list[str] = []
    done = 0
    for found in _KEY.finditer(text):
        key, between = found.groups()
        if found.start() < done or not is_secret(key):
            continue
        value = _VALUE.match(text, found.end())
        # Source code says `password=password`, which tells nothing; and base64 ends with `==`.
        if value is None or value.group() in {key, "="}:
            continue
        quoted = value.group().lstrip("bru")[:1]
        if quoted in {"'", '"'}:
            shown = f"{quoted}{REDACTED}{quoted}"
        elif between == "=":
            shown = REDACTED
        else:
            # `"attempts": 3`: what stands there without quotes is no text.
            continue
        parts += (text[done : found.end()], shown)
        done = value.end()
    return "".join((*parts, text[done:])) if parts else text


_SCHEMES: Final = re.compile(r"(?<![A-Za-z0-9])([Bb]earer|BEARER|[Bb]asic|BASIC)(\s{1,8})([A-Za-z0-9._~+/=-]{4,})")
_PROSE: Final = re.compile(
    "(?:tokens?|auth|authentication|authorization|authenticated|schemes?|credentials?|realm|error|scope|headers?|is|are|"
    "was|and|or|not|the|with|from|must|required|missing|invalid|expired|format|access|type|prefix)(?:[.]|=.*)?",
    re.IGNORECASE,
)
"""What follows `Bearer` in sentences and challenges."""


def _credential(found: re.Match[str]) -> str:
    scheme, space, value = found.groups()
    secret = _PROSE.fullmatch(value) is None if scheme.lower() == "bearer" else _is_basic(value)
    return f"{scheme}{space}{REDACTED}" if secret else found.group()


def _is_basic(value: str) -> bool:
    """Whether this is `user:password` in base64 (RFC 7617), or at least no English word."""
    try:
        return ":" in base64.urlsafe_b64decode(value.rstrip("=") + "=" * (-len(value.rstrip("=")) % 4)).decode()
    except ValueError:
        return any(character.isdigit() or character == "=" for character in value)


_AUTHORITY: Final = re.compile(r"""[^\s/?#"'<>]{0,1024}""")
_SLASHED: Final = re.compile(r"""[^\s"'<>@]{0,256}@""")


def _without_url_passwords(text: str) -> str:
    """Replace the password of each `scheme://user:password@host`."""
    parts: list[str] = []
    done = at = 0
    while (at := text.find("://", at)) >= 0:
        start = at + 3
        end = _AUTHORITY.match(text, start).end()  # type: ignore[union-attr]  # it matches nothing as well
        host = text.rfind("@", start, end)
        colon = text.find(":", start, end if host < 0 else host)
        if host < 0 and colon >= 0 and text[start] != "[" and not text[colon + 1 : end].isdigit():
            # Not a port: a password with a slash in it, as SQLAlchemy takes it.
            slashed = _SLASHED.match(text, colon)
            if slashed is not None:
                host = slashed.end() - 1
                end = max(end, host)
        if 0 <= colon < host - 1:
            parts += (text[done : colon + 1], REDACTED)
            done = host
        at = max(end, start)
    return "".join((*parts, text[done:])) if parts else text


_PART: Final = re.compile(r"[A-Za-z0-9_-]*")


def _without_jwts(text: str) -> str:
    """Replace `eyJ….….…` (RFC 7519), and the five parts of an encrypted one (RFC 7516)."""
    parts: list[str] = []
    done = at = 0
    while (at := text.find("eyJ", at)) >= 0:
        ends = [_PART.match(text, at).end()]  # type: ignore[union-attr]  # it matches nothing as well
        while len(ends) < 5 and text[ends[-1] : ends[-1] + 1] == ".":
            ends.append(_PART.match(text, ends[-1] + 1).end())  # type: ignore[union-attr]
        # The first part alone is a JSON object in base64: with the second it is a token, signed or not.
        if len(ends) >= 2 and ends[0] - at >= 8 and ends[1] - ends[0] > 4:
            parts += (text[done:at], REDACTED)
            done = at = ends[-1]
        else:
            # Nothing that begins later in this part can go on further than this did.
            at = ends[0]
    return "".join((*parts, text[done:])) if parts else text


_LOCAL: Final = re.compile(r"[\w.%+-]{1,64}")
_DOMAIN: Final = re.compile(r"(?:[^\W_](?:[\w-]{0,62})\.){1,8}[^\W\d_]{2,63}")


def _without_addresses(text: str) -> str:
    """Replace e-mail addresses, as people write them (a dot in the domain, no quoted local part)."""
    parts: list[str] = []
    done = at = 0
    while (at := text.find("@", at)) >= 0:
        local = _LOCAL.match(text[max(done, at - 64) : at][::-1])
        domain = None if local is None else _DOMAIN.match(text, at + 1, at + 1 + 255)
        if local is None or domain is None:
            at += 1
            continue
        start = at - local.end()
        # The user of a URL that has no password: `ssh://git@host.example`.
        if text[max(0, start - 2) : start] == "//":
            at = domain.end()
            continue
        parts += (text[done:start], REDACTED)
        done = at = domain.end()
    return "".join((*parts, text[done:])) if parts else text
