"""Which request this is: ids taken from the caller or made here.

A made id is a UUID4 whose 32 hex digits are the trace id as well (RFC 9562, section 5.4).
"""

from __future__ import annotations

import os
from random import Random

from belvedere.context import valid_id

Headers = dict[bytes, bytes]
RawHeaders = list[tuple[bytes, bytes]]

_HEX = b"0123456789abcdef"
_RANDOM = ((1 << 128) - 1) & ~((0xF << 76) | (0x3 << 62))
"""The bits of a UUID4 that are random."""
_FIXED = (0x4 << 76) | (0x2 << 62)
"""Its other bits: version 4 and the variant of RFC 9562."""

generator = Random()  # noqa: S311 - ids have to be unique, not secret
"""A generator of our own: an application that seeds `random` would otherwise repeat its ids. For ids of spans, too."""

spare_ids: list[tuple[str, str]] = []
"""Ids that nobody has yet, as hex digits and as a UUID: making many in a row costs half of what each by itself does."""
_SPARE = 32


def make_ids() -> tuple[str, str]:
    """Return an id, and make others to spare.

    A system call for each, as `uuid.uuid4` makes, would cost more than the rest of it.
    """
    spare_ids.extend([_make_id() for _ in range(_SPARE)])
    return _make_id()


def _make_id() -> tuple[str, str]:
    digits = "%032x" % (generator.getrandbits(128) & _RANDOM | _FIXED)
    return digits, f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _differ() -> None:
    """In a forked child: make other ids than the parent."""
    spare_ids.clear()
    generator.seed()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_differ)


def callers_id(headers: Headers, raw: RawHeaders, name: bytes) -> str | None:
    """Return the caller's request id if there is exactly one and it is valid."""
    value = headers.get(name)
    if value is None or not valid_id(value) or occurs_twice(headers, raw, name):
        return None
    return value.decode("ascii")


def parse_traceparent(headers: Headers, raw: RawHeaders) -> tuple[str, str, bool] | None:
    """Return trace id, parent's span id and the sampled flag of a valid `traceparent`, else `None`.

    W3C Trace Context, level 2, section 3.2: lower-case hex, no id of zeros alone, version `ff` invalid; later
    versions may append fields.
    """
    value = headers.get(b"traceparent")
    if value is None or len(value) < 55 or occurs_twice(headers, raw, b"traceparent"):
        return None
    version, trace_id, span_id, flags = value[:2], value[3:35], value[36:52], value[53:55]
    if value[2:3] + value[35:36] + value[52:53] != b"---":
        return None
    if (version + trace_id + span_id + flags).translate(None, _HEX):
        return None
    if version == b"ff" or (len(value) > 55 and (version == b"00" or value[55:56] != b"-")):
        return None
    if not trace_id.strip(b"0") or not span_id.strip(b"0"):
        return None
    return trace_id.decode("ascii"), span_id.decode("ascii"), bool(int(flags, 16) & 1)


def occurs_twice(headers: Headers, raw: RawHeaders, name: bytes) -> bool:
    """Whether a header came more than once; `headers` was made from `raw`, so equal lengths answer at once."""
    return len(headers) != len(raw) and sum(1 for key, _ in raw if key == name) > 1
