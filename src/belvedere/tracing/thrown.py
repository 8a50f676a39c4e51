"""What a span tells of an exception: bounded, and whatever the exception's own methods do.

A collector takes 4 MiB at a time over gRPC: one long text would lose all spans that are sent with it.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Final

LONGEST: Final = 32_768
"""Characters of a message or a traceback that are kept: the beginning, and the end, where the exception is named."""
_HEAD: Final = LONGEST // 4
_TAIL: Final = LONGEST - _HEAD
_MARGIN: Final = 512
"""Characters beyond the cut that are looked at as well, so that a secret across it is still recognised."""


def told(error: BaseException, hide: Callable[[str], str]) -> str:
    """Return what an exception says, less what `hide` takes out."""
    try:
        return _bounded(str(error), hide)
    except Exception:  # its own `__str__` is broken
        return ""


def traceback_of(error: BaseException, hide: Callable[[str], str]) -> str:
    """Return the traceback of an exception, less what `hide` takes out."""
    try:
        return _bounded("".join(traceback.format_exception(error)), hide)
    except Exception:  # its own attributes may raise anything
        return type(error).__name__


def _bounded(text: str, hide: Callable[[str], str]) -> str:
    if len(text) > LONGEST:
        head, tail = hide(text[: _HEAD + _MARGIN])[:_HEAD], hide(text[-_TAIL - _MARGIN :])[-_TAIL:]
        text = f"{head}\n… [{len(text) - LONGEST} more characters]\n{tail}"
    else:
        text = hide(text)
    # Protocol buffers have no lone surrogates.
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
