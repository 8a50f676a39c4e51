"""What a check tells besides passing, made fit for a payload."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from ipaddress import IPv4Address, IPv6Address
from pathlib import PurePath
from typing import Any

import orjson

from belvedere.redaction import Redactor

_AS_TEXT = (Decimal, timedelta, PurePath, IPv4Address, IPv6Address)
_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z


def presentable(details: Mapping[Any, Any], redactor: Redactor) -> dict[str, Any]:
    """Return a copy of `details` that JSON can hold, redacted as log lines are; nothing, where there is no such copy.

    What JSON does not know is shown by the name of its type: the text of an exception or of a connection may hold a
    password. The copy is made at once, as a check may go on to change what it returned.
    """
    try:
        return redactor.mapping(orjson.loads(orjson.dumps(dict(details), default=_plain, option=_OPTIONS)))
    except Exception:
        # Integers past 64 bits, surrogates, cycles, a mapping that raises: the check itself has passed.
        return {}


def _plain(value: Any) -> Any:
    if isinstance(value, _AS_TEXT):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return list(value)
    return type(value).__name__
