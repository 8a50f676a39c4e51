"""What one worker has written: its segments in order, its sign of life, and how far all of it is delivered.

The worker itself adds to its end, whoever delivers takes from its beginning; one may do so while the other does.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections import Counter
from pathlib import Path
from typing import Final

from belvedere.interactions.journal.cursor import Cursor
from belvedere.interactions.journal.life import SUFFIX as LIFE
from belvedere.interactions.journal.life import Life
from belvedere.interactions.journal.segment import START, Segment
from belvedere.interactions.journal.segment import SUFFIX as EVENTS

_NAME: Final = re.compile(r"\d{20}-\d+-[0-9a-f]{8}")


def is_name(name: str) -> bool:
    """Whether a worker's files may be called that."""
    return _NAME.fullmatch(name) is not None


class Trail:
    """What one worker has written.

    Args:
        folder: where its files are.
        name: of its files: when it began, which process it was, and 32 bits that no other has.
        life: its sign of life, in the hands of this process.
        dropped: where events are counted, by reason, that cannot be read.

    Attributes:
        cursor: how far it is delivered; for whoever delivers alone.
    """

    def __init__(self, folder: Path, name: str, life: Life, dropped: Counter[str]) -> None:
        self.name = name
        self._folder = folder
        self._salt = int(name.rpartition("-")[2], 16)
        self._life = life
        self._segments: list[Segment] = []
        self._numbers = 0
        self._closed = False
        self.cursor = Cursor(self._segments, life, dropped)

    @classmethod
    def begin(cls, folder: Path, dropped: Counter[str]) -> Trail:
        """Begin the trail of this worker.

        Raises:
            OSError: there is no right or no room to.
        """
        name = f"{time.time_ns():020d}-{os.getpid()}-{secrets.token_hex(4)}"
        return cls(folder, name, Life.begin(folder / f"{name}{LIFE}"), dropped)

    @classmethod
    def take_over(cls, folder: Path, name: str, dropped: Counter[str]) -> Trail | None:
        """Take over the trail of a worker that is dead; `None`: it lives, or somebody else has taken it over.

        Args:
            folder: where its files are.
            name: of its files.
            dropped: where events are counted that cannot be read.

        Raises:
            OSError: it cannot be looked at.
        """
        life = Life.take(folder / f"{name}{LIFE}")
        if life is None:
            return None
        try:
            trail = cls(folder, name, life, dropped)
            trail._find()
        except OSError:
            life.close()
            raise
        return trail

    def add(self, now: float) -> Segment:
        """Begin the next segment, sealing the last; return it.

        Raises:
            OSError: there is no right or no room to.
        """
        self._numbers += 1
        segment = Segment(self._folder / f"{self.name}.{self._numbers:06d}{EVENTS}", self._numbers, self._salt)
        segment.begin(now)
        last = self._segments[-1] if self._segments else None
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

    def keep(self) -> None:
        """Have the last segment open for reading, as it has lost its name."""
        if self._segments:
            self._segments[-1].keep()

    def close(self) -> None:
        """Let go of it: what is not delivered is for whoever adopts it; nothing is left of one that is delivered.

        Raises:
            OSError: files of it cannot be removed.
        """
        self.seal()
        self._let_go(remove=self.cursor.finished and not self._closed)

    def abandon(self) -> None:
        """Let go of it as it is, as it belongs to another process as well."""
        self._let_go(remove=False)

    @property
    def there(self) -> bool:
        """Whether its files still have their names."""
        last = self._segments[-1] if self._segments else None
        return self._life.there and (last is None or last.there)

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
        return max(0, sum([segment.end for segment in list(self._segments)]) - self.cursor.delivered_at)

    def _find(self) -> None:
        """Learn what is there; only now, as the worker may have written until it was found dead."""
        checkpoint = self._life.read()
        for number, name in self._names():
            segment = Segment(self._folder / name, number, self._salt)
            if number < checkpoint.segment:
                segment.remove()
                continue
            before = number == checkpoint.segment
            segment.find(max(START, checkpoint.at) if before else START, checkpoint.events if before else 0)
            if not self._segments:
                self.cursor.begin(segment, checkpoint)
            self._segments.append(segment)
            self._numbers = number

    def _names(self) -> list[tuple[int, str]]:
        """Return numbers and names of the segments, in order; others' files are none."""
        found = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                name, _, number = entry.name.removesuffix(EVENTS).rpartition(".")
                if name == self.name and number.isdecimal() and entry.name.endswith(EVENTS):
                    status = entry.stat(follow_symlinks=False)
                    if status.st_uid == os.geteuid():
                        found.append((int(number), entry.name))
        return sorted(found)

    def _let_go(self, *, remove: bool) -> None:
        self._closed = True
        self.cursor.forget()
        try:
            for segment in self._segments:
                if remove:
                    segment.remove()
                else:
                    segment.close()
            if remove:
                # Last: segments without it would be nobody's.
                self._life.remove()
        finally:
            self._life.close()
