"""What goes into the journal comes out of it, oldest first, until it is delivered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from belvedere.interactions.journal import Batch, Journal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def journal(folder: Path) -> Iterator[Journal]:
    journal = Journal(folder, segment_bytes=4096)
    journal.open()
    yield journal
    journal.close()


def events(count: int, start: int = 0) -> list[bytes]:
    return [b'{"event":%d}' % number for number in range(start, start + count)]


def drain(journal: Journal, limit: int = 100) -> list[bytes]:
    """Take and deliver all there is."""
    payloads = []
    while batch := journal.take(limit):
        payloads += batch.payloads
        batch.done()
    return payloads


def taken(journal: Journal, limit: int, size: int = 1 << 20) -> Batch:
    batch = journal.take(limit, size)
    assert batch is not None
    return batch


def test_events_come_out_once_and_in_order(journal: Journal) -> None:
    """Over as many files as there are."""
    assert all(journal.append(event) for event in events(1000))
    assert (journal.pending, journal.state) == (1000, "journal")
    assert drain(journal) == events(1000)
    assert (journal.pending, journal.bytes, journal.oldest, journal.dropped) == (0, 0, None, {})


def test_what_is_taken_is_given_to_nobody_else_until_it_is_back(journal: Journal) -> None:
    """Batches are settled in any order; what came back is older than what was not taken yet."""
    for event in events(10):
        journal.append(event)
    first, second, third = (taken(journal, 3) for _ in range(3))
    assert [first.payloads, second.payloads, third.payloads] == [events(3), events(3, 3), events(3, 6)]
    third.done()
    first.back()
    assert taken(journal, 2).payloads == events(2)
    assert taken(journal, 100).payloads == [*events(1, 2), *events(1, 9)]
    assert journal.take(1) is None
    assert journal.pending == 7


def test_delivered_files_are_removed(journal: Journal, folder: Path) -> None:
    """But for the one that is written to; with the journal closed, nothing is left of one that was delivered."""
    for event in events(1000):
        journal.append(event)
    assert len(list(folder.glob("*.events"))) > 3
    drain(journal)
    assert len(list(folder.glob("*.events"))) == 1
    journal.close()
    assert list(folder.iterdir()) == []
