"""The bounds that `Interactions` is given, looked at before an event depends on them."""

from __future__ import annotations

from os import PathLike
from typing import Any


def check(*, journal: Any, memory: Any, journal_bytes: Any, shutdown: Any) -> None:
    """Do nothing where all of them can be kept.

    Raises:
        TypeError, ValueError: saying which cannot, and what it should be.
    """
    if not isinstance(journal, (str, PathLike, bool, type(None))):
        raise TypeError(f"interactions: journal={journal!r} is no folder, True, or None for memory alone")
    if journal == "":
        raise ValueError("interactions: journal='' is no folder; None is memory alone, True the default")
    for name, value, least in (("memory", memory, 0), ("journal_bytes", journal_bytes, 1)):
        if type(value) is not int:
            raise TypeError(f"interactions: {name}={value!r} is no whole number")
        if value < least:
            raise ValueError(f"interactions: {name}={value} is less than {least}")
    if isinstance(shutdown, bool) or not isinstance(shutdown, (int, float)):
        raise TypeError(f"interactions: shutdown={shutdown!r} is no number of seconds")
    if not shutdown >= 0:
        raise ValueError(f"interactions: shutdown={shutdown} is less than 0 seconds")
