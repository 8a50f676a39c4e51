"""Numbers of payment cards within a text, told from other long numbers as far as that can be known.

A check digit that is right says little, as that of every tenth number is: what begins or is grouped as no card is, is
an id, a time or an address in memory, which must be found again.
"""

from __future__ import annotations

import re
from typing import Final

from belvedere.conventions import REDACTED

SHORTEST: Final = 13
"""Digits of the shortest card number."""
_LONGEST: Final = 19

may_hold_cards = re.compile(r"[0-9](?:[ -]?[0-9]){12}").search
"""Finds as many digits in a text as the shortest card number has; where there are none, there is no card."""

_DIGITS: Final = re.compile(r"(?<![0-9A-Za-z])(?<![0-9]\.)[0-9]+(?:[ -][0-9]+)*(?![0-9A-Za-z])(?!\.[0-9])")

# Of 8,000 random UUIDs, the digits of one say that it holds a card; so do those of one in 23,000 ids of a span.
_IDS: Final = re.compile(
    r"(?<![0-9A-Za-z])("
    r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}"  # a UUID
    r"|(?:[0-9a-f]{2}-)?[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{1,2}(?:-[0-9a-f]{16})?"  # traceparent, b3, sentry-trace
    r"|[0-9a-f]{32}:[0-9a-f]{16}:[0-9a-f]{1,16}:[0-9a-f]{1,2}"  # uber-trace-id
    r"|[0-9a-f]{32}/[0-9]{1,20};o=[01]"  # X-Cloud-Trace-Context
    r"|(?i:[a-z_.]{0,16}span_?id)(?:=|[\"']?: ?[\"']?)[0-9a-f]{16}"  # as lines of a log have it
    r")(?![0-9A-Za-z])"
)


def without_cards(text: str) -> str:
    """Return `text` without card numbers: 13 to 19 digits, grouped as they are printed or not at all."""
    parts = _IDS.split(text)
    parts[::2] = [_DIGITS.sub(_shown, part) for part in parts[::2]]
    return "".join(parts)


def _shown(found: re.Match[str]) -> str:
    run = found.group()
    groups = re.split("([ -])", run)
    if len(groups) == 1:
        return REDACTED if _is_card(run) else run
    return _grouped(groups)


def _grouped(groups: list[str]) -> str:
    """Find cards that begin and end with a group; `groups` has digits at even places, what separates them between."""
    shown: list[str] = []
    first = 0
    while first < len(groups):
        last = _end(groups, first)
        shown.append(groups[first] if last is None else REDACTED)
        first = first if last is None else last
        if first + 1 < len(groups):
            shown.append(groups[first + 1])
        first += 2
    return "".join(shown)


def _end(groups: list[str], first: int) -> int | None:
    """Return the place of the last group of the card that begins with the `first` one."""
    digits = ""
    lengths: tuple[int, ...] = ()
    found = None
    for place in range(first, len(groups), 2):
        digits += groups[place]
        if len(digits) > _LONGEST:
            break
        lengths += (len(groups[place]),)
        if _is_printed(lengths, digits) and _is_card(digits):
            found = place
    return found


_PRINTED: Final = frozenset({(4, 6, 5), (4, 6, 4), (4, 5, 6), (4, 4, 5)})
"""Groups of other cards than most: American Express, Diners Club, UATP, Maestro."""


def _is_printed(lengths: tuple[int, ...], digits: str) -> bool:
    """Whether a card is grouped so; most are by fours, of which people leave out separators."""
    *inner, last = lengths
    if not inner or lengths in _PRINTED:
        return True
    if inner == [6]:
        # UnionPay's longest; of others, it may be a number and a time in milliseconds after it.
        return last == 13 and digits.startswith("62")
    return (last < 4 or not last % 4) and not any(length % 4 for length in inner)


# What numbers of cards begin with, and how long these are (ISO/IEC 7812-1; https://en.wikipedia.org/wiki/Payment_card_number).
# None begins as a date does (20261122…), nor, but for the 15 digits of UATP's, as a time in milliseconds (17…).
_ISSUED: Final = re.compile(
    r"1[0-9]{14}|2131[0-9]{11}|2[2-7][0-9]{14,17}|3[0-9]{13,18}|[4-6][0-9]{12,18}|[7-9][0-9]{15,18}"
)

_MAPPED: Final = range(0x7000_0000_0000, 0x8000_0000_0000, 16)
"""Where Linux on x86-64 puts threads and objects, which Python tells in decimal: `<Thread(…, started 1403…)>`."""


def _is_card(digits: str) -> bool:
    """Whether a card may have this number, and its check digit is right."""
    if _ISSUED.fullmatch(digits) is None or int(digits) in _MAPPED:
        return False
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (doubled + sum(int(digit) for digit in digits[-1::-2])) % 10 == 0
