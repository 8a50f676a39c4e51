"""What of a request may be kept in a database: sanitised, of bounded size, and such as JSON can hold."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime, time
from enum import Enum
from itertools import islice
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson
from pydantic import BaseModel
from starlette.datastructures import ImmutableMultiDict, UploadFile

from belvedere import failures
from belvedere.conventions import REDACTED
from belvedere.interactions import written
from belvedere.redaction import Redactor

LARGEST: Final = 8192
"""Bytes of JSON that the metadata of an event may have."""
TRUNCATED: Final = "_truncated"
"""The key that says so where they had more."""

_TEXT: Final = 1024
"""Characters of one text that are kept."""
_READ: Final = 8192
"""Characters of one text that are looked at."""
_KEY: Final = 128
"""Characters of a key that are kept."""
_ITEMS: Final = 100
"""Items of one container that are kept."""
_DEPTH: Final = 8
"""Containers within one another that are kept."""
_QUERY: Final = 16_384
"""Bytes of a query that are read; servers allow a URL up to 64 KiB."""
_NAMES: Final = frozenset({"name", "key", "field"})
"""Keys that hold a field's name where a form is a list of objects."""

_more = "…"


class Sanitiser:
    """Makes metadata of what a request brought and what the application adds.

    Args:
        redactor: what knows what must not be shown.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    def text(self, text: str, longest: int = _TEXT) -> str:
        """Return a text without what its shape gives away, and not longer than that."""
        shown = self._redactor.text(text if len(text) <= _READ else text[:_READ])
        if len(text) > _READ and len(shown) < 2 * longest:
            # Nearly all of it was replaced, and what stands at the cut may be half of something.
            shown = shown[: len(shown) // 2]
        return shown if len(shown) <= longest else shown[: longest - 1] + _more

    def hides(self, key: str) -> bool:
        """Whether what is called so is kept by nobody."""
        return self._redactor.verdict(key) == "redact"

    def query(self, raw: bytes) -> dict[str, Any]:
        """Return the parameters of a query; those that came more than once are lists."""
        text = raw[:_QUERY].decode("latin-1")
        if len(raw) > _QUERY:
            text = text.rpartition("&")[0]
        try:
            pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=4 * _ITEMS)
        except ValueError:
            return {TRUNCATED: True}
        shown = self.fields(_gathered(pairs))
        if len(raw) > _QUERY:
            shown[TRUNCATED] = True
        return shown

    def fields(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return fields as JSON can hold them, without what must not be shown."""
        shown: dict[str, Any] = {}
        for key, value in islice(fields.items(), _ITEMS):
            try:
                shown[self._key(key)] = self._item(key, value)
            except Exception as error:  # an object may fail in any way when it is looked at
                failures.contain("interactions", error)
                shown[self._key(key)] = None
        if len(fields) > _ITEMS:
            shown[TRUNCATED] = True
        return shown

    def _key(self, key: Any) -> str:
        return self.text(key if type(key) is str else str(key), _KEY)

    def _item(self, key: Any, value: Any, depth: int = 0) -> Any:
        name = key if type(key) is str else str(key)
        if value is None or type(value) is bool:
            return value
        verdict = self._redactor.verdict(name)
        if verdict == "redact":
            return REDACTED
        return self._plain(value, depth, shown=verdict == "allow")

    def _plain(self, value: Any, depth: int, *, shown: bool = False) -> Any:
        """Return `value` as JSON can hold it; texts as they are if `shown`."""
        if isinstance(value, Enum):
            value = value.value
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, float):
            return float(value)  # JSON takes no subclass, such as numpy's
        if isinstance(value, str):
            return str.__str__(value)[:_TEXT] if shown else self._text(str.__str__(value), depth)
        if isinstance(value, int):
            return self._number(value, shown=shown)
        if isinstance(value, (date, time, datetime)):
            return value.isoformat()
        if isinstance(value, (bytes, bytearray, memoryview)):
            text = bytes(value[:_READ]).decode("utf-8", "replace")
            return text[:_TEXT] if shown else self._text(text, depth)
        if (container := _container(value)) is None:
            # A UUID, a Decimal, a path; and whatever says of itself what it is.
            text = str(value)
            return text[:_TEXT] if shown else self._text(text, depth)
        if depth >= _DEPTH:
            return _more
        return self._inside(container, depth + 1, shown=shown)

    def _inside(self, container: Mapping[Any, Any] | Iterable[Any], depth: int, *, shown: bool) -> Any:
        if isinstance(container, Mapping):
            if not shown and len(container) == 2 and "value" in container:
                container = self._named(container)
            made = {
                self._key(key): self._plain(item, depth, shown=True) if shown else self._item(key, item, depth)
                for key, item in islice(container.items(), _ITEMS)
            }
            if len(container) > _ITEMS:
                made[TRUNCATED] = True
            return made
        items = list(islice(container, _ITEMS + 1))
        if not shown and len(items) == 2 and isinstance(items[0], (str, bytes)):
            # A pair, as headers and forms are lists of.
            name = items[0] if isinstance(items[0], str) else items[0].decode("latin-1")
            return [self._plain(items[0], depth), self._item(name, items[1], depth)]
        listed = [self._plain(item, depth, shown=shown) for item in items[:_ITEMS]]
        return listed if len(items) <= _ITEMS else [*listed, _more]

    def _named(self, field: Mapping[Any, Any]) -> Mapping[Any, Any]:
        """Return a spelled out pair, `{"name": "password", "value": ""}`, without a value that its name hides."""
        (named,) = (key for key in field if key != "value")
        name = field[named]
        if named in _NAMES and isinstance(name, str) and self._redactor.verdict(name) == "redact":
            return {**field, "value": REDACTED}
        return field

    def _text(self, text: str, depth: int) -> str:
        text = text[: _READ + 1]
        if not written.hides(text):
            return self.text(text)
        if len(text) <= _READ and depth < _DEPTH and (found := written.document(text)) is not None:
            # As whoever sent it meant it: a key may hide a number or a list, and its quotes may be escaped.
            shown = self._plain(found, depth + 1)
            if shown != found:
                return self.text(json.dumps(shown, ensure_ascii=False))
        decoded = written.decoded(text)
        shown = written.without_values(decoded, self.hides)
        if shown == decoded != text and self._redactor.text(shown) == shown:
            return self.text(text)
        return self.text(shown)

    def _number(self, value: int, *, shown: bool) -> int | str:
        if not -(2**63) <= value < 2**64:
            return f"a number of {value.bit_length()} bits"
        # The number of a card is as secret as its digits.
        if not shown and value >= 10**12:
            text = str(value)
            if (found := self._redactor.text(text)) != text:
                return found
        return int(value)


def bounded(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return metadata that take no more than `LARGEST` bytes: what does not fit is left out, and that is said."""
    left = LARGEST - len(TRUNCATED) - 10
    kept: dict[str, Any] = {}
    for key, value in metadata.items():
        left -= len(_json(key)) + len(_json(value)) + 2
        if left < 0:
            kept[TRUNCATED] = True
            break
        kept[key] = value
    return kept


def _gathered(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return what pairs say; what came more than once is a list."""
    found: dict[str, Any] = {}
    several: set[str] = set()
    for key, value in pairs:
        if key not in found:
            found[key] = value
        elif key in several:
            found[key].append(value)
        else:
            several.add(key)
            found[key] = [found[key], value]
    return found


def _json(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:  # half a surrogate pair, which three bytes will stand for
        return repr(value).encode("utf-8", "replace")


def _container(value: Any) -> Mapping[Any, Any] | Iterable[Any] | None:
    if isinstance(value, BaseModel):
        return {name: getattr(value, name) for name in type(value).model_fields} | (value.model_extra or {})
    if callable(as_dictionary := getattr(value, "_asdict", None)):  # a named tuple, a row of a database
        found: Mapping[Any, Any] = as_dictionary()
        return found
    if isinstance(value, ImmutableMultiDict):  # a form, parameters of a query
        return _gathered(value.multi_items())
    if isinstance(value, UploadFile):
        return {"filename": value.filename, "content_type": value.content_type, "size": value.size}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return value if isinstance(value, Collection) else None
