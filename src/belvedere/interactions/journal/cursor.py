"""How far the events of a trail are read, and how far they are delivered."""

from __future__ import annotations

import errno
from collections import Counter
from typing import Final

from belvedere import failures
from belvedere.interactions.journal.life import Checkpoint, Life
from belvedere.interactions.journal.segment import START, Piece, Segment
from belvedere.interactions.journal.span import Span, State

_GONE: Final = {errno.ENOENT, errno.ENOTDIR, errno.ESTALE, errno.EIO}
"""What will not be any better the next time."""


class Cursor:
    """Reads a trail from its beginning, and removes what is delivered; its methods are called by one thread at a time.

    Args:
        segments: of the trail, in order; the worker adds to its end.
        life: where it is noted how far all is delivered.
        dropped: where events are counted, by reason, that cannot be read.
    """

    def __init__(self, segments: list[Segment], life: Life, dropped: Counter[str]) -> None:
        self._segments = segments
        self._life = life
        self._dropped = dropped
        # What was taken, without a gap from where all is delivered to where to read on.
        self._spans: list[Span] = []
        self._reading: Segment | None = None
        self._at = START
        self._delivered_at = START
        self._known_oldest: tuple[int, int, float] | None = None

    def begin(self, segment: Segment, checkpoint: Checkpoint) -> None:
        """Begin where a worker that is dead had delivered all of its first segment."""
        if segment.number == checkpoint.segment:
            segment.events_out = segment.events_read = segment.events_before = checkpoint.events
            self._at = self._delivered_at = min(max(START, checkpoint.at), segment.end)
        self._reading = segment

    def take(self, limit: int, size: int) -> tuple[Span, list[bytes]] | None:
        """Return the oldest events that nobody has; `None`: there are none.

        Args:
            limit: how many at most.
            size: how many bytes at most, but for the first event.

        Raises:
            OSError: they cannot be read now.
        """
        for span in list(self._spans):
            if span.state is State.BACK and (payloads := self._take_again(span, limit, size)):
                return span, payloads
        while (segment := self._to_read()) is not None:
            stop = segment.end
            if self._at >= stop:
                return None
            span = Span(segment, self._at, stop, segment.count - segment.events_read, 0.0)
            piece = self._read(span, limit, size)
            span.stop, span.count, span.first = piece.end, len(piece.payloads), piece.first
            self._at = piece.end
            segment.events_read += span.count
            self._spans.append(span)
            self._dropped.update(piece.lost)
            if piece.payloads:
                return span, piece.payloads
            self.settle(span, delivered=True)
        return None

    def settle(self, span: Span, *, delivered: bool) -> None:
        """Forget events that were taken, or have them again."""
        span.state = State.DONE if delivered else State.BACK
        if delivered:
            span.segment.events_out += span.count
        done = 0
        while done < len(self._spans) and self._spans[done].state is State.DONE:
            self._spans[done].segment.events_before += self._spans[done].count
            done += 1
        if done:
            del self._spans[:done]
            self._to_read()
            self._note()

    def forget(self) -> None:
        """Give up what was taken."""
        self._spans.clear()

    @property
    def finished(self) -> bool:
        """Whether nothing is left to deliver, nor will there be more."""
        segment = self._to_read()
        return not self._spans and (segment is None or (segment.sealed and self._at >= segment.end))

    @property
    def oldest(self) -> float | None:
        """When the oldest event that is not delivered was written, seconds since the epoch; `None`: there is none."""
        segment = self._to_read()
        if segment is None or (not self._spans and self._at >= segment.end):
            return None
        segment, at = self._front(segment)
        known = self._known_oldest
        if known is None or known[:2] != (segment.number, at):
            first = self._spans[0].first if self._spans else 0.0
            known = (segment.number, at, first or segment.written_at(at) or 0.0)
            self._known_oldest = known
        return known[2] or None

    @property
    def delivered_at(self) -> int:
        """Where what is delivered of the first segment ends."""
        return self._delivered_at

    def _to_read(self) -> Segment | None:
        """Return the segment to read on in: the next, at the end of one that is sealed."""
        segment = self._reading
        if segment is None:
            segment = self._reading = next(iter(self._segments), None)
        # In this order: what is sealed has its end.
        while segment is not None and segment.sealed and self._at >= segment.end:
            following = next((later for later in self._segments if later.number > segment.number), None)
            if following is None:
                break
            segment.rest()
            segment = self._reading = following
            self._at = START
        return segment

    def _front(self, segment: Segment) -> tuple[Segment, int]:
        """Return up to where all is delivered, given the segment that is read."""
        return (self._spans[0].segment, self._spans[0].start) if self._spans else (segment, self._at)

    def _note(self) -> None:
        """Tell up to where all is delivered, and remove the segments before that."""
        segment = self._reading
        if segment is None:
            return
        # In this order: an event is told by its end before it is counted.
        count = segment.count
        if not self._spans and self._at >= segment.end:
            # Those that could not be read are no longer waited for.
            segment.events_out = segment.events_read = segment.events_before = count
        front, self._delivered_at = self._front(segment)
        try:
            self._life.write(Checkpoint(front.number, self._delivered_at, front.events_before))
        except OSError as error:
            # What is delivered already may be delivered once more, if the process is killed.
            failures.contain("interactions", error)
        try:
            while self._segments and self._segments[0].number < front.number:
                self._segments[0].remove()
                del self._segments[0]
        except OSError as error:
            failures.contain("interactions", error)

    def _take_again(self, span: Span, limit: int, size: int) -> list[bytes]:
        piece = self._read(span, limit, size)
        if span.segment is not self._reading:
            span.segment.rest()
        if not piece.payloads:
            self._dropped.update(piece.lost)
            self.settle(span, delivered=True)
            return []
        if piece.end < span.stop:
            self._spans.insert(self._spans.index(span) + 1, span.split(piece.end, len(piece.payloads)))
        span.first, span.state = piece.first, State.TAKEN
        return piece.payloads

    def _read(self, span: Span, limit: int, size: int) -> Piece:
        try:
            return span.segment.read(span.start, span.stop, limit, size)
        except OSError as error:
            # What is still written to can be read in any case, once it is known that its name is lost.
            if error.errno not in _GONE or not span.segment.sealed:
                raise
            return Piece([], 0.0, span.stop, ["unreadable"] * max(1, span.count))
