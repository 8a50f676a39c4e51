"""The journal of one worker: where it puts events, and where they are taken from to be delivered."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal

from belvedere import failures, locking
from belvedere.interactions.journal import forks, frames
from belvedere.interactions.journal.adoption import Adoption
from belvedere.interactions.journal.batch import Batch, Payload
from belvedere.interactions.journal.memory import Held, Memory
from belvedere.interactions.journal.trail import Trail
from belvedere.interactions.journal.writer import Writer

_MOVED: Final = 64
"""Events that go from memory to the file with each call, once that works again."""
_DIES: Final = "memory alone: events that are not delivered end with the process"


class Journal:
    """Events of one process, on disk from `append` until they are delivered; in memory while there is no file.

    `append` may be called from any thread, the event loop's above all. It waits for no other process, and for other
    threads no longer than one of them writes one event, or makes a file. All other methods may be called from any
    thread as well, and read and remove files, so better not from the event loop's; they wait for each other, never
    for one another's files while they keep `append` waiting. Figures never wait.

    An event is delivered at least once: again only if the process ends, or the journal is closed, before `Batch.done()`
    of its batch or of an earlier one. Without `fsync` it outlives the process however that ends, and not a power
    failure. What memory has goes to the file as soon as there is one, but for what is taken: `back()` lets it go there.

    Args:
        folder: made if it is not there, for this user alone; workers of one service share it. `None`: memory alone.
        fsync: have the disk confirm each event before `append` returns, which takes as long as the disk does: on a
            virtual one 1.6 to 4 ms, and 0.15 ms of processor time; meanwhile the calling thread does nothing else.
        segment_bytes: after which a new file is begun; delivered files are removed.
        limit_bytes: of all files in the folder, siblings' as of the last `adopt()`; what is more is dropped.
        memory: events that may wait in memory.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        fsync: bool = False,
        segment_bytes: int = 4 << 20,
        limit_bytes: int = 1 << 30,
        memory: int = 10_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        folder = None if folder is None else folder.absolute()
        self._memory = Memory(memory)
        self._clock = clock
        self._dropped: Counter[str] = Counter()
        self._trails: list[Trail] = []
        self._writer = Writer(
            folder,
            self._trails,
            self._dropped,
            fsync=fsync,
            segment_bytes=segment_bytes,
            room=lambda: limit_bytes - self._used(),
        )
        self._adoption = None if folder is None else Adoption(folder, self._trails, self._dropped)
        # What holds this one: `append`, and whatever moves where it writes to.
        self._appending = threading.Lock()
        # What holds this one: all that reads or removes. Whoever has both has taken this one first.
        self._delivering = threading.RLock()
        self._era = 0
        self._opened = False
        self._closed = False
        self._oldest: float | None = None
        forks.follow(self)

    def lie_in(self, folder: Path) -> None:
        """Lie in another folder from the next `open` on."""
        self._writer.lie_in(folder)
        self._adoption = Adoption(folder, self._trails, self._dropped)

    def open(self) -> None:
        """Join the folder; where that fails, events wait in memory, and `why` tells. Never raises.

        What came before is kept. A second call does nothing, but after `close` it begins again.
        """
        with self._appending:
            self._closed = False
            self._opened = True
            try:
                self._writer.ready(self._clock())
            except ValueError as error:  # a path that cannot be one
                failures.contain("interactions", error)

    def append(self, payload: Payload, now: float | None = None) -> bool:
        """Put an event at the end, in one write; return whether it is kept, on disk or in memory. Never raises.

        400 bytes cost 3 µs of processor time on disk, 1.3 µs in memory.

        Args:
            payload: the event.
            now: seconds since the epoch, where somebody has looked already.
        """
        lock = self._appending
        lock.acquire()  # Each request waits for it, and `with` takes more steps.
        try:
            if now is None:
                now = self._clock()
            if not self._memory.waiting and self._writer.put(payload, now):
                return True
            return self._append_carefully(payload, now)
        except Exception as error:
            failures.contain("interactions", error)
            self._dropped["failed"] += 1
            return False
        finally:
            lock.release()

    def take(self, limit: int, size: int = 1 << 20) -> Batch | None:
        """Return the oldest events that nobody has taken, those of adopted workers first; `None`: there are none.

        They stay taken until the batch is settled. 500 events of 400 bytes take half a millisecond; other threads run
        in between.

        Args:
            limit: how many at most.
            size: bytes of all of them at most, but for the first.
        """
        with self._delivering:
            self._recover()
            batch = Batch(self, self._era)
            for trail in sorted(self._trails, key=_age):
                self._take_from(trail, batch, limit, size)
            limit -= len(batch.payloads)
            held = self._memory.take(limit, size - sum(map(len, batch.payloads))) if limit > 0 else []
            batch.held += held
            batch.payloads += [event.payload for event in held]
            return batch if batch.payloads else None

    def adopt(self) -> int:
        """Take over what dead workers left in the folder, of this run or an earlier one; return how many segments.

        One `flock` for each other worker; so call it every few seconds. Never raises.
        """
        with self._delivering:
            self._recover()
            self._retire()
            if self._adoption is None or not locking.available or not self._opened:
                return 0
            try:
                return self._adoption.adopt()
            except (OSError, ValueError):
                return 0  # Where it cannot be read, it cannot be written, and `why` tells.

    def close(self) -> None:
        """Let go of the files: what is not delivered waits there for whoever adopts it. Never raises.

        What is in memory goes to the file if that is possible. An event that comes later is dropped.
        """
        with self._delivering:
            self._memory.give_up()
            self._recover(at_once=bool(self._memory.waiting))
            with self._appending:
                for trail in self._trails:
                    _close(trail)
                self._trails.clear()
                self._era += 1
                self._opened = False
                self._closed = True
                if lost := self._memory.clear():
                    self._dropped["closed"] += lost
                self._writer.leave("closed")

    def settle(self, batch: Batch, *, delivered: bool) -> None:
        """Forget the events of a batch, or have them again; what `Batch.done()` and `Batch.back()` call."""
        with self._delivering:
            if batch.era != self._era:
                return
            self._memory.settle(batch.held, delivered=delivered)
            for trail, span in batch.spans:
                trail.cursor.settle(span, delivered=delivered)
            self._retire()

    @property
    def state(self) -> Literal["journal", "memory"]:
        """Where events go now."""
        return "memory" if self._writer.segment is None else "journal"

    @property
    def why(self) -> str:
        """The folder, or why events go to memory."""
        return self._writer.why

    @property
    def pending(self) -> int:
        """Events that are not delivered: this worker's, and those of dead ones that it has adopted."""
        return len(self._memory) + sum([trail.pending for trail in list(self._trails)])

    @property
    def bytes(self) -> int:
        """Bytes on disk of what is not delivered."""
        return sum([trail.size for trail in list(self._trails)])

    @property
    def oldest(self) -> float | None:
        """Seconds that the oldest event waits to be delivered; `None`: there is none."""
        # While somebody reads, what was known before is good enough.
        if self._delivering.acquire(blocking=False):
            try:
                found = [trail.cursor.oldest for trail in self._trails]
                self._oldest = min([at for at in (*found, self._memory.oldest) if at is not None], default=None)
            finally:
                self._delivering.release()
        return None if self._oldest is None else max(0.0, self._clock() - self._oldest)

    @property
    def dropped(self) -> Mapping[str, int]:
        """Events that are lost, by reason.

        `journal_full` and `memory_full`: there was no room; `too_large`: one of more than 16 MiB; `closed`: it came
        after `close`, or was in memory then; `torn`: a last record that was not written whole; `corrupt`: a stretch
        of a file that is no record; `unreadable`: its file is gone or cannot be read; `failed`: a
        failure of this journal.
        """
        return dict(self._dropped)

    def forked(self) -> None:
        """Begin anew in a child process, with the next call; what there was is the parent's."""
        self._appending = threading.Lock()
        self._delivering = threading.RLock()
        for trail in self._trails:
            try:
                trail.abandon()
            except OSError:
                pass  # The parent was about to close it.
        self._trails.clear()
        self._memory.clear()
        self._dropped.clear()
        self._oldest = None
        self._era += 1
        self._writer.leave("not open in this process yet")

    def _append_carefully(self, payload: Payload, now: float) -> bool:
        if self._closed or len(payload) > frames.LARGEST:
            self._dropped["closed" if self._closed else "too_large"] += 1
            return False
        if self._opened:
            self._writer.ready(now)
            self._move(now)
        segment = self._writer.segment
        if segment is None:
            return self._hold(payload, now)
        data = frames.frame(payload, segment.salt, now)
        if not self._writer.fits(len(data), now):
            self._dropped["journal_full"] += 1
            return False
        return self._writer.write(data, 1, now) or self._hold(payload, now)

    def _hold(self, payload: Payload, now: float) -> bool:
        """Keep an event in memory."""
        if self._memory.add(Held(now, payload)):
            return True
        self._dropped["memory_full"] += 1
        return False

    def _move(self, now: float) -> bool:
        """Move the oldest events from memory to the file; return whether more might be."""
        writer = self._writer
        segment = writer.segment
        if segment is None or not self._memory.waiting:
            return False
        held = self._memory.move(_MOVED)
        data = b"".join([frames.frame(event.payload, segment.salt, event.at) for event in held])
        if writer.fits(len(data), now) and writer.write(data, len(held), now):
            return True
        self._memory.move_back(held)
        return False

    def _recover(self, *, at_once: bool = False) -> None:
        """Go back to the file, if that works again, with all that waits in memory."""
        more = self._opened
        while more:
            with self._appending:
                now = self._clock()
                self._writer.ready(now, at_once=at_once)
                more = self._move(now)
            at_once = False

    def _take_from(self, trail: Trail, batch: Batch, limit: int, size: int) -> None:
        size -= sum(map(len, batch.payloads))
        try:
            while len(batch.payloads) < limit and (size > 0 or not batch.payloads):
                taken = trail.cursor.take(limit - len(batch.payloads), size)
                if taken is None:
                    break
                span, payloads = taken
                batch.spans.append((trail, span))
                batch.payloads += payloads
                size -= span.stop - span.start
        except OSError as error:
            failures.contain("interactions", error)
            with self._appending:
                self._writer.look(self._clock())

    def _retire(self) -> None:
        """Remove what is left of trails that are delivered, but for that of this worker."""
        for trail in list(self._trails):
            if trail is not self._writer.trail and trail.cursor.finished:
                self._trails.remove(trail)
                _close(trail)

    def _used(self) -> int:
        foreign = 0 if self._adoption is None else self._adoption.foreign
        return foreign + sum([trail.size for trail in list(self._trails)])


def _age(trail: Trail) -> str:
    return trail.name


def _close(trail: Trail) -> None:
    try:
        trail.close()
    except (OSError, ValueError) as error:
        failures.contain("interactions", error)
