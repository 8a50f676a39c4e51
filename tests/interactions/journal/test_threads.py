"""One thread appends while another delivers; neither waits for the other's files."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from belvedere.interactions.journal import Journal
from belvedere.interactions.journal.writer import RETRY
from tests.interactions.journal.processes import drain

COUNT = 5000


def deliver(journal: Journal, until: threading.Event) -> list[bytes]:
    """Deliver until the event is set and nothing is left; bring every third batch back."""
    delivered: list[bytes] = []
    number = 0
    while True:
        ended = until.is_set()
        batch = journal.take(50)
        if batch is None:
            if ended:
                return delivered
            continue
        number += 1
        if number % 3:
            delivered += batch.payloads
            batch.done()
        else:
            batch.back()


def append_some(journal: Journal, name: int) -> None:
    for number in range(COUNT):
        assert journal.append(b"%d-%d" % (name, number))


@pytest.mark.parametrize("folder_is_there", [True, False])
def test_threads_append_while_others_deliver(folder: Path, *, folder_is_there: bool) -> None:
    """Each event is delivered once, from files that are as small as can be, and from memory."""
    journal = Journal(folder if folder_is_there else None, segment_bytes=2000, memory=3 * COUNT)
    journal.open()
    ended = threading.Event()
    with ThreadPoolExecutor() as pool:
        delivering = [pool.submit(deliver, journal, ended) for _ in range(2)]
        appending = [pool.submit(append_some, journal, name) for name in range(3)]
        for one in appending:
            one.result()
        ended.set()
        delivered = [payload for one in delivering for payload in one.result()]
    # What one brought back the moment the other ended.
    delivered += drain(journal)
    assert len(delivered) == 3 * COUNT
    assert set(delivered) == {b"%d-%d" % (name, number) for name in range(3) for number in range(COUNT)}
    assert (journal.pending, journal.bytes, journal.oldest, journal.dropped) == (0, 0, None, {})
    journal.close()


def test_the_file_comes_and_goes_meanwhile(folder: Path) -> None:
    """Between memory and files nothing is lost, and nothing is delivered twice."""
    now = [0.0]
    journal = Journal(folder, segment_bytes=2000, memory=COUNT, clock=lambda: now[0])
    journal.open()
    ended = threading.Event()
    hidden = folder.with_name("hidden")
    with ThreadPoolExecutor() as pool:
        delivering = pool.submit(deliver, journal, ended)
        for number in range(COUNT):
            if number % 500 == 100:
                folder.rename(hidden)
                folder.write_text("")
            if number % 500 == 300:
                folder.unlink()
                hidden.rename(folder)
            if number % 50 == 0:
                now[0] += RETRY
            assert journal.append(b"%d" % number)
        ended.set()
        delivered = delivering.result() + drain(journal)
    assert sorted(delivered, key=int) == [b"%d" % number for number in range(COUNT) if b"%d" % number in set(delivered)]
    # What lay in files that were out of reach when they were to be delivered is counted.
    assert len(delivered) + journal.dropped.get("unreadable", 0) == COUNT
    journal.close()


def test_appending_does_not_wait_for_reading(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read that takes for ever stops who delivers, not who appends; figures neither."""
    journal = Journal(folder)
    journal.open()
    journal.append(b"a")
    reading, go_on = threading.Event(), threading.Event()
    pread = os.pread

    def slow(*arguments: int) -> bytes:
        reading.set()
        assert go_on.wait(60)
        return pread(*arguments)

    monkeypatch.setattr(os, "pread", slow)
    with ThreadPoolExecutor() as pool:
        taking = pool.submit(journal.take, 10)
        assert reading.wait(60)
        for _ in range(1000):
            assert journal.append(b"b")
        assert (journal.pending, journal.state, journal.why, journal.dropped) == (1001, "journal", str(folder), {})
        assert journal.bytes > 0
        assert journal.oldest is None  # not known yet
        go_on.set()
        batch = taking.result()
    assert batch is not None
    batch.done()
    assert len(drain(journal)) + len(batch.payloads) == 1001
    journal.close()
