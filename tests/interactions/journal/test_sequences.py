"""Whatever happens in whatever order: nothing is lost, and without a crash nothing is delivered twice."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from belvedere import failures
from belvedere.interactions.journal import Batch, Journal, writer
from tests.interactions.journal.processes import drain

WORKERS = st.integers(0, 2)


class Disk:
    """What a writer takes for the operating system: while the disk is full, half of a write fits."""

    def __init__(self, journals: Journals) -> None:
        self._journals = journals

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def pwrite(self, descriptor: int, data: bytes, at: int) -> int:
        if not self._journals.full:
            return os.pwrite(descriptor, data, at)
        if len(data) < 30:
            raise OSError(errno.ENOSPC, "full")
        return os.pwrite(descriptor, data[: len(data) // 2], at)


class Journals(RuleBasedStateMachine):
    """Three workers that share a folder."""

    def __init__(self) -> None:
        super().__init__()
        self.failures = failures.counts["interactions"]
        self.root = Path(tempfile.mkdtemp())
        self.folder = self.root / "journal"
        self.now = 1000.0
        self.number = 0
        self.appended: set[bytes] = set()
        self.delivered: Counter[bytes] = Counter()
        self.full = False
        self.some_back = False
        self.may_be_twice = False
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(writer, "os", Disk(self))
        self.batches: list[list[Batch]] = [[], [], []]
        self.workers = [self._open() for _ in range(3)]

    def _open(self) -> Journal:
        journal = Journal(self.folder, segment_bytes=200, memory=1000, clock=lambda: self.now)
        journal.open()
        return journal

    @rule(worker=WORKERS, sizes=st.lists(st.integers(0, 300), min_size=1, max_size=20))
    def append(self, worker: int, sizes: list[int]) -> None:
        for size in sizes:
            self.number += 1
            payload = b"%d:" % self.number + b"x" * size
            assert self.workers[worker].append(payload)
            self.appended.add(payload)

    @rule(worker=WORKERS, limit=st.integers(1, 30), size=st.integers(1, 3000))
    def take(self, worker: int, limit: int, size: int) -> None:
        batch = self.workers[worker].take(limit, size)
        if batch is not None:
            assert len(batch.payloads) <= limit
            self.batches[worker].append(batch)

    @rule(worker=WORKERS, which=st.integers(0, 10), back=st.booleans())
    def settle(self, worker: int, which: int, back: bool) -> None:
        if self.batches[worker]:
            batch = self.batches[worker].pop(which % len(self.batches[worker]))
            if back:
                self.some_back = True
                batch.back()
            else:
                self.delivered.update(batch.payloads)
                batch.done()

    @rule(worker=WORKERS)
    def adopt(self, worker: int) -> None:
        self.workers[worker].adopt()

    @rule(worker=WORKERS, seconds=st.floats(0, 10))
    def wait(self, worker: int, seconds: float) -> None:
        self.now += seconds

    @rule()
    def fill(self) -> None:
        self.full = True

    @rule()
    def free(self) -> None:
        self.full = False
        self.now += 10.0
        for journal in self.workers:
            journal.adopt()
            assert journal.state == "journal"

    @precondition(lambda self: not self.full)
    @rule(worker=WORKERS, delivered=st.booleans())
    def crash(self, worker: int, delivered: bool) -> None:
        """Kill a worker; or kill it between the delivery of a batch and its end."""
        for batch in [batch for batch in self.batches[worker] if batch.held]:
            # What was taken from memory ends with the process.
            self.some_back = True
            self.batches[worker].remove(batch)
            batch.back()
        self._before_end(worker)
        if delivered and self.batches[worker]:
            self.delivered.update(self.batches[worker].pop().payloads)
        self.workers[worker].forked()
        self.batches[worker].clear()
        self.workers[worker] = self._open()

    @precondition(lambda self: not self.full)
    @rule(worker=WORKERS)
    def reopen(self, worker: int) -> None:
        self._before_end(worker)
        self.workers[worker].close()
        self.batches[worker].clear()
        self.workers[worker].open()

    def _before_end(self, worker: int) -> None:
        """See to it that nothing is in memory."""
        self.free()
        # What came after a batch that was not delivered is delivered again with it.
        self.may_be_twice |= self.some_back or bool(self.batches[worker])

    @invariant()
    def figures(self) -> None:
        for journal in self.workers:
            assert journal.pending >= 0
            assert (journal.pending == 0) == (journal.oldest is None)
            assert journal.bytes >= 0
            assert journal.dropped == {}

    def teardown(self) -> None:
        self.free()
        for worker, batches in enumerate(self.batches):
            for batch in batches:
                batch.back()
            self.delivered.update(drain(self.workers[worker]))
            if worker:
                self.workers[worker].close()
        last = self.workers[0]
        last.adopt()
        self.delivered.update(drain(last))
        last.close()
        assert set(self.delivered) == self.appended
        if not self.may_be_twice:
            assert set(self.delivered.values()) <= {1}
        assert list(self.folder.iterdir()) == []
        assert failures.counts["interactions"] == self.failures
        self.patch.undo()
        shutil.rmtree(self.root)


TestJournals = Journals.TestCase
TestJournals.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
