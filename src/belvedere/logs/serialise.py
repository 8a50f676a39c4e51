"""Makes any value fit for JSON: bounded in depth, size and length, whatever its own methods do."""

from __future__ import annotations

import dataclasses
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

MAX_TEXT: Final = 65_536
"""Characters of one string that are kept."""
MAX_REPR: Final = 4_096
"""Characters kept of the `repr` of what JSON has no word for."""
MAX_DEPTH: Final = 16
"""Containers within containers that are followed."""
MAX_ITEMS: Final = 10_000
"""Items that are followed in one value, in all its containers together."""
MAX_CHARACTERS: Final = 1_048_576
"""Characters kept in one value, in all its strings together."""

_LITTLE = MAX_TEXT // 4
_AS_TEXT = (UUID, Decimal, Fraction, PurePath, IPv4Address, IPv4Network, IPv6Address, IPv6Network, timedelta)
_ARRAYS = (list, tuple, set, frozenset, deque)
_LARGEST = 2**63
_running = threading.local()


def cut(text: str, length: int = MAX_TEXT) -> str:
    """Return the beginning of `text`, with a mark telling how many characters more there were."""
    return text if len(text) <= length else f"{text[:length]}… [{len(text) - length} more characters]"


def cut_middle(text: str, length: int = MAX_TEXT) -> str:
    """Return both ends of `text`: what happened last in a traceback stands at its end."""
    if len(text) <= length:
        return text
    head, tail = text[:_LITTLE], text[len(text) - length + _LITTLE :]
    return f"{head}\n… [{len(text) - length} more characters]\n{tail}"


def describe(value: object) -> str:
    """Return the `repr` of `value`, cut; what cannot even say that is named by its type."""
    kind = type(value).__name__
    if getattr(_running, "active", False):
        # A `__repr__` that logs itself would otherwise never come to an end.
        return f"<{kind}>"
    _running.active = True
    try:
        return cut(str(repr(value)), MAX_REPR)
    except Exception as error:  # somebody else's `__repr__` may raise anything
        return f"<{kind}, whose repr raised {type(error).__name__}>"
    finally:
        _running.active = False


def as_text(value: object) -> str:
    """Return `str(value)`, or `describe(value)` where that fails."""
    kind = type(value)
    if kind is str:
        return value  # type: ignore[return-value]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("utf-8", "replace")
    try:
        return str.__str__(str(value))
    except Exception:  # somebody else's `__str__` may raise anything
        return describe(value)


def plain(value: object) -> Any:
    """Return `value` made of dictionaries with text keys, lists, text, numbers, booleans and `None` alone."""
    return _Walk().follow(value, 0)


def repair(value: Any) -> Any:
    """Return a plain value without what orjson still refuses: lone surrogates, and integers beyond 64 bits."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {repair(key): repair(item) for key, item in value.items()}
    if isinstance(value, list):
        return [repair(item) for item in value]
    if isinstance(value, int) and not -_LARGEST <= value < 2 * _LARGEST:
        # Decimal digits of a huge number cost quadratic time, and beyond 4,300 of them Python refuses.
        return str(value) if value.bit_length() < 4_096 else cut(hex(value), MAX_REPR)
    return value


class _Walk:
    """One value on its way to being plain, with what may still be spent on it."""

    def __init__(self) -> None:
        self._items = MAX_ITEMS
        self._characters = MAX_CHARACTERS
        self._above: set[int] = set()

    def follow(self, value: object, depth: int) -> Any:
        kind = type(value)
        if value is None or kind is bool or kind is int or kind is float:
            return value
        if kind is str:
            return self._text(value)  # type: ignore[arg-type]
        try:
            return self._other(value, depth)
        except Exception:  # properties, iterators and models of the application may raise anything
            return self._text(describe(value))

    def _other(self, value: object, depth: int) -> Any:
        if isinstance(value, Enum):
            return self.follow(value.value, depth)
        if isinstance(value, str):
            return self._text(str.__str__(value))
        if isinstance(value, int):
            return int.__int__(value)
        if isinstance(value, float):
            return float.__float__(value)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._text(bytes(value[: 4 * MAX_TEXT]).decode("utf-8", "replace"))
        if isinstance(value, (datetime, date, time)):
            return value.isoformat()
        if isinstance(value, _AS_TEXT):
            return self._text(str(value))
        if isinstance(value, BaseException):
            text = as_text(value)
            return self._text(f"{type(value).__name__}: {text}" if text else type(value).__name__)
        inside = _contents(value)
        return self._text(describe(value)) if inside is None else self._container(value, inside, depth)

    def _container(self, value: object, inside: Mapping[Any, Any] | Iterable[Any], depth: int) -> Any:
        if id(value) in self._above:
            return "[circular]"
        if depth >= MAX_DEPTH:
            return "[too deep]"
        self._above.add(id(value))
        try:
            if isinstance(inside, Mapping):
                return self._object(inside, depth + 1)
            return self._array(inside, depth + 1)
        finally:
            self._above.discard(id(value))

    def _object(self, inside: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, item in inside.items():
            if not self._pay():
                made["…"] = "[more items]"
                break
            made[self._text(as_text(key))] = self.follow(item, depth)
        return made

    def _array(self, inside: Iterable[Any], depth: int) -> list[Any]:
        made: list[Any] = []
        for item in inside:
            if not self._pay():
                made.append("[more items]")
                break
            made.append(self.follow(item, depth))
        return made

    def _pay(self) -> bool:
        self._items -= 1
        return self._items >= 0

    def _text(self, text: str) -> str:
        text = cut(text, min(MAX_TEXT, max(self._characters, 0)))
        self._characters -= len(text)
        return text


def _contents(value: object) -> Mapping[Any, Any] | Iterable[Any] | None:
    """Return what a container holds, or `None` if `value` is no container that we know."""
    if isinstance(value, (dict, Mapping)):
        return value
    if isinstance(value, _ARRAYS):
        # A named tuple says more with its names.
        names = getattr(value, "_fields", None)
        return dict(zip(names, value, strict=True)) if isinstance(value, tuple) and names else value
    if isinstance(value, type):
        return None
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.repr}
    fields = getattr(type(value), "model_fields", None)
    if isinstance(fields, dict):
        # A pydantic model; its own `model_dump` runs serialisers that were written for somebody else.
        shown = {name: getattr(value, name) for name, field in fields.items() if getattr(field, "repr", True)}
        return {**shown, **(getattr(value, "__pydantic_extra__", None) or {})}
    return None
