"""Events that lie beside each other in one segment and were taken together."""

from __future__ import annotations

from enum import Enum

from belvedere.interactions.journal.segment import Segment


class State(Enum):
    """What became of them."""

    TAKEN = "taken"
    BACK = "back"
    DONE = "done"


class Span:
    """Events that were taken.

    Args:
        segment: where they are.
        start: where the first begins.
        stop: where the last ends.
        count: how many.
        first: when the first was written; 0.0: not known.
    """

    __slots__ = ("count", "first", "segment", "start", "state", "stop")

    def __init__(self, segment: Segment, start: int, stop: int, count: int, first: float) -> None:
        self.segment = segment
        self.start = start
        self.stop = stop
        self.count = count
        self.first = first
        self.state = State.TAKEN

    def split(self, at: int, count: int) -> Span:
        """Keep what is before a place, which are so many events; return the rest."""
        rest = Span(self.segment, at, self.stop, self.count - count, 0.0)
        rest.state = self.state
        self.stop, self.count = at, count
        return rest
