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
        try:
            for one in appending:
                one.result()
        finally:
            ended.set()
        delivered = [payload for one in delivering for payload in one.result()]
    # What one brought back the moment the other ended.
    delivered += drain(journal)
    assert len(delivered) == 3 * COUNT
    assert set(delivered) == {b"%d-%d" % (name, number) for name in range(3) for number in range(COUNT)}
    assert (journal.pending, journal.bytes, journal.oldest, journal.dropped) == (0, 0, None, {})
    journal.close()


def test_the_file_comes_and_goes_meanwhile(tmp_path: Path) -> None:
    """Between memory and files nothing is lost, and nothing is delivered twice."""
    there, place = tmp_path / "there", tmp_path / "place"
    there.mkdir()
    _lead(place, there)
    now = [0.0]
    journal = Journal(place / "journal", segment_bytes=2000, memory=COUNT, clock=lambda: now[0])
    journal.open()
    ended = threading.Event()
    with ThreadPoolExecutor() as pool:
        delivering = pool.submit(deliver, journal, ended)
        try:
            for number in range(COUNT):
                if number % 500 in {100, 300}:
                    _lead(place, there if number % 500 == 300 else tmp_path / "nowhere" / "at all")
                if number % 50 == 0:
                    now[0] += RETRY
                assert journal.append(b"%d" % number)
        finally:
            ended.set()
        delivered = delivering.result() + drain(journal)
    assert len(delivered) == len(set(delivered))
    # What lay in files that were out of reach when they were to be delivered is counted.
    assert len(delivered) + journal.dropped.get("unreadable", 0) == COUNT
    journal.close()


def _lead(link: Path, target: Path) -> None:
    """Have a link lead somewhere else, with no moment at which there is none."""
    new = link.with_name("new")
    new.symlink_to(target)
    new.replace(link)


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
        figures = journal.pending, journal.state, journal.why, journal.dropped, journal.bytes > 0
        oldest = journal.oldest
        go_on.set()
        batch = taking.result()
    assert figures == (1001, "journal", str(folder), {}, True)
    assert oldest is None  # not known yet
    assert batch is not None
    batch.done()
    assert len(drain(journal)) + len(batch.payloads) == 1001
    journal.close()
