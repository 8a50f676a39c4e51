"""What two counters say of a sliding window, wherever they are kept.

The window before counts by the share of it that still lies within the seconds before a request, rounded down.
"""

from __future__ import annotations

from math import floor

from belvedere.ratelimit.policy import Decision


def weighted(before: float, used: float, window: float, elapsed: float) -> int:
    """Return how much counts as used, so many seconds after the beginning of the window that is counted in."""
    return floor(before * (1 - elapsed / window)) + int(used)


def decision(
    before: float, used: float, window: float, elapsed: float, *, amount: int, refused: int | None
) -> Decision:
    """Return the decision that has been made, with what is left.

    Args:
        before, used: what was used in the window before and in this one, with what has just been taken.
        window: seconds.
        elapsed: seconds of this window that have passed.
        amount: what may be used.
        refused: the cost for which there was no room; `None` if it was taken.
    """
    counted = weighted(before, used, window, elapsed)
    if refused is None:
        reset = _until(counted - 1, before, used, window)
    elif refused > amount:
        reset = window + elapsed
    else:
        reset = _until(amount - refused, before, used, window)
    return Decision(refused is None, amount - counted, max(reset - elapsed, 0.0))


def _until(most: int, before: float, used: float, window: float) -> float:
    """Return when no more than `most` counts as used, in seconds from the beginning of the window.

    `floor(before * share) + used <= most` holds as soon as `before * share` falls below the next integer.
    """
    room = most - used
    if room >= 0:
        return window * (1 - (room + 1) / before) if before > room else 0.0
    return window + window * max(0.0, 1 - (most + 1) / used) if used else window
