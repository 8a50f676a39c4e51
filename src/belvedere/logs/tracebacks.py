"""Tracebacks as text, made once for all exceptions that are the same.

A database that hangs fails every request that waits for it, and all at the same moment. Python takes some milliseconds
for each traceback through a framework and a driver, in which the event loop stands still and no probe is answered.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import Any

REMEMBERED = 32
"""Tracebacks that are kept."""
LONGEST = 65_536
"""Characters of the longest one that is kept."""
_WITH_MORE = (BaseExceptionGroup, SyntaxError, NameError, AttributeError, ImportError)
"""What their text says is not all in type, message and frames: it may be a suggestion made from local variables."""

_texts: dict[tuple[Any, ...], str] = {}


def formatted(error: BaseException) -> str:
    """Return the whole traceback of `error`, with those that it was raised from or during."""
    try:
        alike = tuple(_identity(error))
        text = _texts.get(alike)
        if text is None:
            text = _made(error)
            if len(text) <= LONGEST:
                if len(_texts) >= REMEMBERED:
                    _texts.clear()
                _texts[alike] = text
        return text
    except Exception:  # something of it is unlike others, or cannot be compared
        return _made(error)


def _made(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error)).rstrip("\n")
    except Exception as failure:  # the exception's own attributes may raise anything
        return f"{type(error).__name__} (its traceback raised {type(failure).__name__})"


def _identity(error: BaseException) -> Iterator[Any]:
    """Yield all that the text is made from: of each exception its type, message, notes and frames."""
    seen = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        if isinstance(one, _WITH_MORE):
            raise TypeError
        yield type(one)
        yield str(one)
        yield tuple(map(str, getattr(one, "__notes__", ())))
        frame = one.__traceback__
        while frame is not None:
            # The code itself, not where it lies: what has its address may be another by then. Code of two files, or of
            # two versions of one, is equal if only it does the same.
            code = frame.tb_frame.f_code
            yield code
            yield code.co_filename
            yield frame.tb_lasti
            yield frame.tb_lineno
            frame = frame.tb_next
        yield one.__cause__ is not None
        yield one.__suppress_context__
        context = None if one.__suppress_context__ else one.__context__
        one = context if one.__cause__ is None else one.__cause__
