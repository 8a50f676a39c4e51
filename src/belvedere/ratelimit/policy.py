"""A limit as it is written, `30/minute`, and as the header fields for rate limits say it.

The fields are those of draft-ietf-httpapi-ratelimit-headers-11 (https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/11/),
whose values are structured fields (RFC 9651).
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

import limits


class Decision(NamedTuple):
    """What a store says of one request: whether it may pass, what is left, and in how many seconds there is more."""

    allowed: bool
    remaining: int
    reset: float


class Policy:
    """So many requests in so many seconds.

    Args:
        item: the limit, as the library `limits` has it.
        title: what the header fields call it; printable ASCII.
    """

    __slots__ = ("amount", "field", "item", "quoted", "spec", "window")

    def __init__(self, item: limits.RateLimitItem, title: str) -> None:
        self.item = item
        self.amount: int = item.amount
        self.window: int = item.get_expiry()
        self.spec = (self.amount, self.window)
        self.quoted = '"' + title.replace("\\", "\\\\").replace('"', '\\"') + '"'
        self.field = f"{self.quoted};q={self.amount};w={self.window}"

    def state(self, decision: Decision) -> str:
        """Return the item of the `RateLimit` field: what is left, and for how many seconds."""
        left = max(0, decision.remaining)
        return f"{self.quoted};r={left};t={self.seconds(decision)}"

    def seconds(self, decision: Decision) -> int:
        """Return whole seconds until there is more, rounded up: whoever waits them out is not refused again."""
        # Less what adding times and taking them away again makes of a whole number.
        return max(ceil(decision.reset - 0.001), 1)


def policies(text: str, name: str | None) -> tuple[Policy, ...]:
    """Return the limits of a text such as `5/second; 30/minute`, the shortest window first.

    In that order, what a short window refuses is not taken from a longer one.

    Raises:
        ValueError: it is no such text.
    """
    try:
        items = limits.parse_many(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no limit: write '30/minute', '5 per 10 seconds', or several as '5/second;30/minute'"
        ) from None
    items.sort(key=lambda item: (item.get_expiry(), item.amount))
    return tuple(Policy(item, _title(item, name, several=len(items) > 1)) for item in items)


def _title(item: limits.RateLimitItem, name: str | None, *, several: bool) -> str:
    multiples = "" if item.multiples == 1 else f"{item.multiples}-"
    text = f"{item.amount}-per-{multiples}{item.GRANULARITY.name}"
    if name is None:
        return text
    return f"{name}-{text}" if several else name
