"""The one place that knows what must not leave the process: by the name of a key, and by the shape of a text.

Logs, interactions and error reports all ask here. Every search is linear in the length of the text, as the text may
be whatever a client sent: each shape has a plain substring that is looked for first, and a bound on what is read
around it.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

from belvedere.conventions import REDACTED

Verdict = Literal["redact", "allow", "look"]

_WORDS: Final = frozenset(
    "password passwords passwd passphrase passphrases passcode pwd secret secrets token authorization credential credentials "
    "cookie cookies apikey apikeys privatekey accesskey secretkey session sessionid sessid phpsessid jsessionid csrf csrftoken "
    "xsrf jwt otp totp cvv cvc ssn email emails emailaddress ipaddress creditcard cardnumber iban".split()
)
"""A key with one of these among its words is redacted."""

_PHRASES: Final = frozenset(
    tuple(phrase.split())
    for phrase in (
        "api key|api keys|private key|private keys|access key|access keys|secret key|signing key|encryption key|master key|"
        "access tokens|refresh tokens|auth tokens|bearer tokens|api tokens|id tokens|session ids|"
        "credit card|credit cards|card number|card numbers|card no|card pin|pin code|social security|"
        "e mail|e mails|ip address|ip addresses|ip addr|client ip|user ip|remote ip|remote addr|real ip|forwarded for"
    ).split("|")
)
"""And so is a key with one of these among its words, one after the other."""

_WHOLE: Final = frozenset({"auth", "pass", "pin", "ip", "sid"})
"""These say too little as a part of a name, but enough as all of it."""

_ENDS: Final = ("password", "passwd", "secret", "token", "apikey", "cookie", "privatekey", "accesskey", "secretkey")
"""Names are written without separators too: `accesstoken`."""

_ABOUT: Final = frozenset(
    "type types count counts counter length len size usage limit limits max min expiry expires expired expiration exp ttl age "
    "timeout duration valid validity verified required enabled disabled status state policy strength algorithm alg rate domain "
    "provider template subject attempts changed created updated rotated missing present provided exists error errors failed "
    "failure failures url uri endpoint class factory maker pool kind format field fields scheme backend name path file "
    "version".split()
)
"""A last word that makes the rest a description: `token_type`, `password_changed`."""

_QUESTIONS: Final = frozenset(
    {"is", "has", "have", "use", "uses", "needs", "requires", "allow", "allows", "no", "with", "without"}
)
"""A first word that makes it a yes or no: `has_password`."""

_TIMES: Final = frozenset({"at", "on", "in", "after", "before", "until", "seconds", "minutes", "days"})
"""A last word that makes it a time: `password_reset_at`."""

_SPLIT: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_A-Za-z]+")
_LONGEST_KEY: Final = 256
_REMEMBERED: Final = 4096
_MAX_DEPTH: Final = 64


def words(key: str) -> tuple[str, ...]:
    """Return the words of a key in lower case: `X-API-Key`, `x_api_key` and `xApiKey` have the same ones."""
    return tuple(word.lower() for word in _SPLIT.findall(key[:_LONGEST_KEY]))


class Redactor:
    """Replaces what must not leave the process by `[redacted]`.

    Args:
        redact: further keys; each is also found as a part of a compound name (`tax_id` in `userTaxId`).
        allow: keys that are shown untouched, whatever they hold; as a whole name, `-`, `_` and case alike.
    """

    def __init__(self, redact: Iterable[str] = (), allow: Iterable[str] = ()) -> None:
        self._redact = tuple(found for key in redact if (found := words(key)))
        self._whole = frozenset("".join(words(key)) for key in redact)
        self._allow = frozenset("".join(words(key)) for key in allow)
        self._verdicts: dict[str, Verdict] = {}

    def verdict(self, key: str) -> Verdict:
        """Return whether the key's name alone settles it: `redact`, `allow`, or `look` at the value."""
        try:
            return self._verdicts[key]
        except KeyError:
            verdict = self._judge(words(key))
            if len(self._verdicts) < _REMEMBERED and len(key) <= _LONGEST_KEY:
                self._verdicts[key] = verdict
            return verdict

    def value(self, key: str, value: Any) -> Any:
        """Return what may be shown of `value` under `key`; containers come back new, dataclasses as dictionaries."""
        verdict = self.verdict(key)
        if verdict == "look":
            return self._look(value, {})
        return value if verdict == "allow" or value is None else REDACTED

    def mapping(self, fields: Mapping[Any, Any]) -> dict[Any, Any]:
        """Return what may be shown of `fields`, key by key."""
        shown: dict[Any, Any] = self._look(fields, {})
        return shown

    def text(self, text: str) -> str:
        """Return `text` with everything replaced whose shape gives it away.

        Recognised are JWTs, `Bearer` and `Basic` credentials, passwords in URLs, e-mail addresses, card numbers, and
        `key=value` or `"key": "value"` where the key is one that is redacted.
        """
        if "://" in text:
            text = _without_url_passwords(text)
        if "eyJ" in text:
            text = _without_jwts(text)
        if "earer" in text or "asic" in text or "EARER" in text or "ASIC" in text:
            text = _SCHEMES.sub(_credential, text)
        if "=" in text or "':" in text or '":' in text:
            text = _ASSIGNMENT.sub(self._assignment, text)
        if "@" in text:
            text = _without_addresses(text)
        if len(text) > 12 and _MAYBE_CARD.search(text) is not None:
            text = _without_cards(text)
        return text

    def _look(self, value: Any, seen: dict[int, Any], depth: int = 0) -> Any:
        """Redact inside `value`; each container once, however often it is met."""
        kind = type(value)
        if kind is str:
            return self.text(value)
        if value is None or kind is int or kind is float or kind is bool:
            return value
        if isinstance(value, str):
            return self.text(str.__str__(value))
        if isinstance(value, (bytes, bytearray)):
            text = bytes(value).decode("latin-1")
            shown = self.text(text)
            return value if shown == text else shown.encode("latin-1")
        if not isinstance(value, (Mapping, list, tuple, set, frozenset)) and not _is_dataclass(value):
            return value
        if id(value) in seen:
            return seen[id(value)]
        if depth >= _MAX_DEPTH:
            return REDACTED
        seen[id(value)] = "[circular]"
        shown = seen[id(value)] = self._inside(value, seen, depth + 1)
        return shown

    def _inside(self, value: Any, seen: dict[int, Any], depth: int) -> Any:
        if isinstance(value, Mapping):
            return {key: self._item(key, item, seen, depth) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            if len(value) == 2 and isinstance(value[0], (str, bytes)):
                # A pair, as headers and forms are lists of.
                shown = [self._look(value[0], seen, depth), self._item(value[0], value[1], seen, depth)]
            else:
                shown = [self._look(item, seen, depth) for item in value]
            return tuple(shown) if isinstance(value, tuple) else shown
        if isinstance(value, (set, frozenset)):
            kind = frozenset if isinstance(value, frozenset) else set
            return kind(self._look(item, seen, depth) for item in value)
        return {
            field.name: self._item(field.name, getattr(value, field.name), seen, depth)
            for field in dataclasses.fields(value)
        }

    def _item(self, key: Any, value: Any, seen: dict[int, Any], depth: int) -> Any:
        if isinstance(key, bytes):
            key = key.decode("latin-1")
        if type(key) is str and value is not None:
            verdict = self.verdict(key)
            if verdict != "look":
                return value if verdict == "allow" else REDACTED
        return self._look(value, seen, depth)

    def _judge(self, key: tuple[str, ...]) -> Verdict:
        if (whole := "".join(key)) in self._allow:
            return "allow"
        if (key and whole in self._whole) or any(
            key[start : start + len(own)] == own for own in self._redact for start in range(len(key))
        ):
            return "redact"
        if not key or key[-1] in _ABOUT or key[-1] in _TIMES or key[0] in _QUESTIONS:
            return "look"
        if len(key) == 1 and key[0] in _WHOLE:
            return "redact"
        if any(word in _WORDS or word.endswith(_ENDS) for word in key):
            return "redact"
        return "redact" if any(pair in _PHRASES for pair in zip(key, key[1:], strict=False)) else "look"

    def _assignment(self, found: re.Match[str]) -> str:
        before, key, between, value = found.groups()
        if value[:1] in {"'", '"'}:
            hidden = f"{value[0]}{REDACTED}{value[0]}"
        elif "=" in between:
            hidden = REDACTED
        else:
            # `"password": null`, `'attempts': 3`: what stands there is no text.
            return found.group()
        return f"{before}{key}{between}{hidden}" if self.verdict(key) == "redact" else found.group()


def _is_dataclass(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


# `key=value` anywhere, and `"key": "value"` as JSON and `repr` write it. The key begins where a word does, which
# keeps a long word from being read again from each of its letters.
_ASSIGNMENT: Final = re.compile(
    r"""(?<![\w.-])(["']?)([A-Za-z_][\w.-]{1,63})(=|["']\s?:\s?)("[^"\n]{0,4096}"?|'[^'\n]{0,4096}'?|[^\s&,;"'<>)}\]]+)"""
)

_SCHEMES: Final = re.compile(r"(?<![A-Za-z0-9])([Bb]earer|BEARER|[Bb]asic|BASIC)(\s{1,8})([A-Za-z0-9._~+/=-]{4,})")
_PROSE: Final = frozenset(
    "token tokens auth authentication authorization authenticated scheme schemes credential credentials realm error header headers "
    "is are was and or not the with from must required missing invalid expired format access type prefix".split()
)


def _credential(found: re.Match[str]) -> str:
    scheme, space, value = found.groups()
    if scheme[0] in "Bb" and scheme.lower() == "bearer":
        secret = value.rstrip(".=").lower() not in _PROSE and not value.startswith(("realm=", "error=", "scope="))
    else:
        secret = _is_basic(value)
    return f"{scheme}{space}{REDACTED}" if secret else found.group()


def _is_basic(value: str) -> bool:
    """Whether this is `user:password` in base64 (RFC 7617), or at least no English word."""
    try:
        return b":" in base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
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
        if host < 0 and colon >= 0 and not text[colon + 1 : end].isdigit():
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


_MAYBE_CARD: Final = re.compile(r"[0-9](?:[ -]?[0-9]){12}")
_DIGITS: Final = re.compile(r"(?<![0-9A-Za-z])(?<![0-9]\.)[0-9]+(?:[ -][0-9]+)*(?![0-9A-Za-z])(?!\.[0-9])")


def _without_cards(text: str) -> str:
    """Replace numbers of 13 to 19 digits, grouped or not, whose check digit is right (ISO/IEC 7812-1)."""
    return _DIGITS.sub(_cards, text)


def _cards(found: re.Match[str]) -> str:
    run = found.group()
    groups = re.split("([ -])", run)
    if len(groups) == 1:
        return REDACTED if _is_card(run) else run
    return _grouped_cards(groups)


def _grouped_cards(groups: list[str]) -> str:
    """Find cards that begin and end with a group; `groups` has the digits at even places, what separates them between."""
    shown: list[str] = []
    first = 0
    while first < len(groups):
        last = _end_of_card(groups, first)
        shown.append(groups[first] if last is None else REDACTED)
        first = first if last is None else last
        if first + 1 < len(groups):
            shown.append(groups[first + 1])
        first += 2
    return "".join(shown)


def _end_of_card(groups: list[str], first: int) -> int | None:
    digits = ""
    found = None
    for place in range(first, len(groups), 2):
        digits += groups[place]
        if len(digits) > 19:
            break
        if _is_card(digits):
            found = place
        # Cards are printed in groups of four to six; a row of short numbers is none.
        if len(groups[place]) < 3:
            break
    return found


def _is_card(digits: str) -> bool:
    # 0 begins no card, and 1 none but the 15 digits of UATP's: it begins every time stamp in milliseconds.
    if not 13 <= len(digits) <= 19 or digits[0] == "0" or (digits[0] == "1" and len(digits) != 15):
        return False
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (doubled + sum(int(digit) for digit in digits[-1::-2])) % 10 == 0
