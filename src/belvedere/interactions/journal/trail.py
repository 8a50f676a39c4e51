"""What one worker has written: its segments in order, its sign of life, and how far all of it is delivered.

The worker itself adds to its end, whoever delivers takes from its beginning; one may do so while the other does.
"""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections import Counter
from pathlib import Path
from typing import Final, NamedTuple

from belvedere import failures
from belvedere.interactions.journal.life import SUFFIX as LIFE
from belvedere.interactions.journal.life import Checkpoint, Life
from belvedere.interactions.journal.segment import START, Piece, Segment
from belvedere.interactions.journal.segment import SUFFIX as EVENTS
from belvedere.interactions.journal.span import Span, State

_GONE: Final = {errno.ENOENT, errno.ENOTDIR, errno.ESTALE, errno.EIO}
"""What will not be any better the next time."""


class Name(NamedTuple):
    """The name of a worker's files: when it began, which process it was, and what no other has."""

    text: str

    @classmethod
    def new(cls) -> Name:
        return cls(f"{time.time_ns():020d}-{os.getpid()}-{secrets.token_hex(4)}")

    @property
    def salt(self) -> int:
        return int(self.text.rpartition("-")[2], 16)


class Trail:
    """What one worker has written.

    Args:
        folder: where its files are.
        name: of its files.
        life: its sign of life, in the hands of this process.
        dropped: where events are counted, by reason, that cannot be read.
    """

    def __init__(self, folder: Path, name: str, life: Life, dropped: Counter[str]) -> None:
        self.name = name
        self.closed = False
        self._folder = folder
        self._salt = Name(name).salt
        self._life = life
        self._dropped = dropped
        self._segments: list[Segment] = []
        self._numbers = 0
        # What was taken, without a gap from where all is delivered to where to read on.
        self._spans: list[Span] = []
        self._reading: Segment | None = None
        self._at = START
        self._noted = (0, 0)
        self._known_oldest: tuple[int, int, float] | None = None

    @classmethod
    def begin(cls, folder: Path, dropped: Counter[str]) -> Trail:
        """Begin the trail of this worker.

        Raises:
            OSError: there is no right or no room to.
        """
        name = Name.new().text
        return cls(folder, name, Life.begin(folder / f"{name}{LIFE}"), dropped)

    @classmethod
    def take_over(cls, folder: Path, name: str, segments: list[str], dropped: Counter[str]) -> Trail | None:
        """Take over the trail of a worker that is dead; `None`: it lives, or somebody else has taken it over.

        Args:
            folder: where its files are.
            name: of its files.
            segments: names of its segments, in order.
            dropped: where events are counted that cannot be read.

        Raises:
            OSError: it cannot be looked at.
        """
        life = Life.take(folder / f"{name}{LIFE}")
        if life is None:
            return None
        trail = cls(folder, name, life, dropped)
        try:
            trail._find(segments)
        except OSError:
            trail.abandon()
            raise
        return trail

    # The worker's side, one thread at a time.

    def add(self, now: float) -> Segment:
        """Begin the next segment, sealing the last; return it.

        Raises:
            OSError: there is no right or no room to.
        """
        number = self._numbers + 1
        last = self._segments[-1] if self._segments else None
        segment = Segment(self._folder / f"{self.name}.{number:06d}{EVENTS}", number, self._salt)
        segment.begin(now)
        self._numbers = number
        self.seal()
        self._segments.append(segment)
        if last is not None and not last.count:
            # What could not be written to would be one more with each attempt.
            self._segments.remove(last)
            last.remove()
        return segment

    def seal(self) -> None:
        """Write no more to the last segment."""
        if self._segments:
            self._segments[-1].seal()

    @property
    def there(self) -> bool:
        """Whether its files still have their names."""
        last = self._segments[-1] if self._segments else None
        return self._life.there and (last is None or last.there)

    def keep(self) -> None:
        """Have the last segment open for reading, as it has lost its name."""
        if self._segments:
            self._segments[-1].keep()

    # The side of whoever delivers, one thread at a time.

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

    @property
    def finished(self) -> bool:
        """Whether nothing of it is left to deliver, nor will there be more."""
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

    def close(self) -> None:
        """Let go of it: what is not delivered is for whoever adopts it; nothing is left of one that is delivered.

        Raises:
            OSError: files of it cannot be removed.
        """
        self.seal()
        finished = not self.closed and self.finished
        self.abandon(finished=finished)

    def abandon(self, *, finished: bool = False) -> None:
        """Let go of it, as it is another process's; `finished`: remove its files."""
        self.closed = True
        self._spans.clear()
        try:
            for segment in self._segments:
                if finished:
                    segment.remove()
                else:
                    segment.close()
            if finished:
                # Last: segments without it would be nobody's.
                self._life.remove()
        finally:
            self._life.close()

    # Either side.

    @property
    def segments(self) -> int:
        """How many segments there are."""
        return len(self._segments)

    @property
    def pending(self) -> int:
        """Events that are not delivered."""
        return max(0, sum([segment.count - segment.events_out for segment in list(self._segments)]))

    @property
    def size(self) -> int:
        """Bytes of its files, without what is delivered of the first."""
        segments = list(self._segments)
        _, at = self._noted
        return max(0, sum([segment.end for segment in segments]) - at)

    def _find(self, segments: list[str]) -> None:
        checkpoint = self._life.read()
        for name in segments:
            number = int(name.removesuffix(EVENTS).rpartition(".")[2])
            segment = Segment(self._folder / name, number, self._salt)
            if number < checkpoint.segment:
                segment.remove()
                continue
            at = START
            if number == checkpoint.segment:
                at = max(START, checkpoint.at)
                segment.events_out = segment.events_read = segment.events_before = checkpoint.events
            segment.find(at)
            if not self._segments:
                self._reading, self._at = segment, min(at, segment.end)
                self._noted = (number, self._at)
            self._segments.append(segment)
            self._numbers = number

    def _to_read(self) -> Segment | None:
        """Return the segment to read on in: the next, at the end of one that is sealed."""
        segment = self._reading
        if segment is None:
            segment = self._reading = next(iter(self._segments), None)
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
        count = segment.count
        if not self._spans and self._at >= segment.end:
            # Those that could not be read are no longer waited for.
            segment.events_out = segment.events_read = segment.events_before = count
        front, at = self._front(segment)
        self._noted = (front.number, at)
        try:
            self._life.write(Checkpoint(front.number, at, front.events_before))
            while self._segments and self._segments[0].number < front.number:
                self._segments[0].remove()
                del self._segments[0]
        except OSError as error:
            # What is delivered already may be delivered once more, if the process is killed.
            failures.contain("interactions", error)

    def _take_again(self, span: Span, limit: int, size: int) -> list[bytes]:
        piece = self._read(span, limit, size)
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
            if error.errno not in _GONE:
                raise
            return Piece([], 0.0, span.stop, ["unreadable"] * max(1, span.count))
