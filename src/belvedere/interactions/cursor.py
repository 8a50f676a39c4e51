"""Where a page ended, as text for a URL."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FORM: Final = re.compile(r"(-?\d{1,18})\.(\d{1,19})")


def encode(moment: datetime, number: int) -> str:
    """Return the cursor of the row `number` of that moment."""
    microseconds = (moment - _EPOCH) // timedelta(microseconds=1)
    return base64.urlsafe_b64encode(f"{microseconds}.{number}".encode()).decode().rstrip("=")


def decode(cursor: str) -> tuple[datetime, int]:
    """Return the moment and the id that `encode` was given.

    Raises:
        ValueError: it is none that `encode` returned.
    """
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
        found = _FORM.fullmatch(text)
        if found is None or int(found[2]) >= 2**63:
            raise ValueError
        return _EPOCH + timedelta(microseconds=int(found[1])), int(found[2])
    except (TypeError, ValueError, OverflowError, binascii.Error):
        raise ValueError("after= is no cursor of a page of interactions") from None
