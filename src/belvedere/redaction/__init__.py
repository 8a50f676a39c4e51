"""The one place that knows what must not leave the process: by the name of a key, and by the shape of a text.

Logs, interactions and error reports all ask here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

from belvedere.conventions import REDACTED
from belvedere.redaction.keys import LONGEST, is_sensitive, words
from belvedere.redaction.paths import Paths
from belvedere.redaction.personal import is_personal, without_numbers
from belvedere.redaction.shapes import without_shapes
from belvedere.settings import Settings

__all__ = ["Redactor", "Verdict"]

Verdict = Literal["redact", "allow", "look"]
"""What a key's name says of its value: never, always, or as the value's shape allows."""

_REMEMBERED: Final = 4096
_MAX_DEPTH: Final = 64


class Redactor:
    """Replaces what must not leave the process by `[redacted]`.

    Args:
        redact: further keys; each is also found as a part of a compound name (`tax_id` in `userTaxId`).
        allow: keys that are shown untouched, whatever they hold; as a whole name, `-`, `_` and case alike.
        personal: whether what says who somebody is goes as well.
    """

    def __init__(self, redact: Iterable[str] = (), allow: Iterable[str] = (), *, personal: bool = False) -> None:
        self._personal = personal
        self._redact = tuple(found for key in redact if (found := words(key)))
        self._whole = frozenset("".join(words(key)) for key in redact)
        self._allow = frozenset("".join(words(key)) for key in allow)
        self._verdicts: dict[str, Verdict] = {}
        self.paths = Paths(self._is_secret)
        """What may be shown of requests' paths, before their text is looked at."""

    @classmethod
    def after(cls, settings: Settings, *, personal: bool = False) -> Redactor:
        """Return what redacts after the settings of an application's logs; without logs, after none."""
        logs = settings.logs
        return cls(logs.redact, logs.allow, personal=personal) if logs else cls(personal=personal)

    def verdict(self, key: str) -> Verdict:
        """Return whether the key's name alone settles it: `redact`, `allow`, or `look` at the value."""
        try:
            return self._verdicts[key]
        except KeyError:
            verdict = self._judge(key)
            if len(self._verdicts) < _REMEMBERED and len(key) <= LONGEST:
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
        """Return `text` without what its shape gives away: tokens, credentials, addresses, card numbers."""
        # Most texts are the name of an event, in which nothing can hide.
        if text.replace("_", "a").isalpha():
            return text
        shown = without_shapes(text, self._is_secret)
        return without_numbers(shown) if self._personal else shown

    def _is_secret(self, key: str) -> bool:
        return self.verdict(key) == "redact"

    def _judge(self, key: str) -> Verdict:
        parts = words(key)
        whole = "".join(parts)
        if not whole:
            return "look"
        if whole in self._allow:
            return "allow"
        if whole in self._whole or any(
            parts[start : start + len(own)] == own for own in self._redact for start in range(len(parts))
        ):
            return "redact"
        return "redact" if is_sensitive(parts) or (self._personal and is_personal(parts)) else "look"

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


def _is_dataclass(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)
