"""What goes into the journal comes out of it, oldest first, until it is delivered."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from belvedere.interactions.journal import Batch, Journal
from tests.interactions.journal.processes import drain


def events(count: int, start: int = 0) -> list[bytes]:
    return [b'{"event":%d}' % number for number in range(start, start + count)]


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


def test_files_are_for_this_user_alone(journal: Journal, folder: Path) -> None:
    """The folder as well, if the journal has made it."""
    journal.append(b"x")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_a_batch_is_bounded_in_events_and_bytes(journal: Journal) -> None:
    """But for its first event, which may be larger than all there may be."""
    journal.append(b"a" * 300_000)
    for event in events(200):
        journal.append(event)
    assert taken(journal, 10, 1000).payloads == [b"a" * 300_000]
    assert len(taken(journal, 7).payloads) == 7
    assert len(taken(journal, 1000, 1000).payloads) < 193
    assert journal.take(0) is None


def test_an_event_may_have_any_bytes_and_up_to_16_mib(journal: Journal) -> None:
    """An empty one too; what is larger is dropped and counted."""
    odd = [b"", bytes(range(256)), b"y" * (16 << 20)]
    assert all(journal.append(event) for event in odd)
    assert not journal.append(b"y" * (16 << 20) + b"y")
    assert drain(journal) == odd
    assert journal.dropped == {"too_large": 1}


def test_a_batch_is_settled_once(journal: Journal) -> None:
    """What comes after that does nothing."""
    for event in events(2):
        journal.append(event)
    batch = taken(journal, 1)
    batch.done()
    batch.back()
    batch.done()
    assert drain(journal) == events(1, 1)


def test_what_is_not_delivered_waits_for_the_next(folder: Path) -> None:
    """What was taken and not settled too; settling it after the journal was closed changes nothing."""
    one, two = Journal(folder), Journal(folder)
    one.open()
    for event in events(10):
        one.append(event)
    taken(one, 2).done()
    batch = taken(one, 2)
    one.close()
    batch.done()
    two.open()
    assert two.adopt() == 1
    assert two.pending == 8
    assert drain(two) == events(8, 2)
    two.close()
    assert list(folder.iterdir()) == []


def test_it_may_be_used_before_it_is_open_and_opened_again(folder: Path) -> None:
    """Events wait in memory until it is; those after it was closed are dropped and counted."""
    journal = Journal(folder)
    journal.append(b"early")
    assert (journal.state, journal.why) == ("memory", "not open")
    assert not folder.exists()
    journal.open()
    journal.append(b"later")
    assert (journal.state, journal.why, journal.bytes > 0) == ("journal", str(folder), True)
    journal.close()
    assert not journal.append(b"too late")
    assert (journal.state, journal.why, journal.dropped) == ("memory", "closed", {"closed": 1})
    assert journal.take(1) is None
    journal.open()
    assert journal.adopt() == 1
    assert drain(journal) == [b"early", b"later"]
    journal.close()


def test_figures_tell_what_waits(folder: Path) -> None:
    """Events, bytes and the age of the oldest: of what is taken too, and over several files."""
    now = [1000.0]
    journal = Journal(folder, segment_bytes=4096, clock=lambda: now[0])
    journal.open()
    assert (journal.pending, journal.bytes, journal.oldest) == (0, 0, None)
    for event in events(300):
        now[0] += 1.0
        journal.append(event)
    now[0] += 10.0
    assert (journal.pending, journal.oldest) == (300, 309.0)
    full = journal.bytes
    assert full > 300 * 20
    first, second = taken(journal, 100), taken(journal, 100)
    assert (journal.pending, journal.oldest) == (300, 309.0)
    second.done()
    assert (journal.pending, journal.oldest) == (200, 309.0)
    first.done()
    assert (journal.pending, journal.oldest) == (100, 109.0)
    assert journal.bytes < full / 2
    drain(journal)
    assert (journal.pending, journal.bytes, journal.oldest) == (0, 0, None)
    now[0] += 1.0
    journal.append(b"x")
    now[0] += 2.0
    assert (journal.pending, journal.oldest) == (1, 2.0)
    journal.close()


@pytest.mark.parametrize("fsync", [False, True])
def test_one_write_for_each_event(folder: Path, monkeypatch: pytest.MonkeyPatch, *, fsync: bool) -> None:
    """And, if that is asked for, the disk's word that it is there, before `append` returns."""
    calls: list[str] = []
    for name in ("pwrite", "write"):
        monkeypatch.setattr(os, name, _counting(getattr(os, name), name, calls))
    monkeypatch.setattr(
        "belvedere.interactions.journal.writer._sync", _counting(getattr(os, "fdatasync", os.fsync), "sync", calls)
    )
    journal = Journal(folder, fsync=fsync)
    journal.open()
    journal.append(b"x")
    calls.clear()
    for event in events(3):
        journal.append(event)
    assert calls == (["pwrite", "sync"] * 3 if fsync else ["pwrite"] * 3)
    journal.close()


def _counting(call: object, name: str, calls: list[str]) -> object:
    def counted(*arguments: object) -> object:
        calls.append(name)
        return call(*arguments)  # type: ignore[operator]

    return counted


def test_many_files_are_not_open_at_once(folder: Path) -> None:
    """However much waits to be delivered: the server needs descriptors too."""
    journal = Journal(folder, segment_bytes=1000)
    journal.open()
    before = _open_files()
    for event in events(3000):
        journal.append(event)
    batches = [taken(journal, 100) for _ in range(20)]
    for batch in reversed(batches):
        batch.back()
    batches = [taken(journal, 30) for _ in range(20)]
    assert len(list(folder.iterdir())) > 50
    assert _open_files() <= before + 4
    journal.close()


def _open_files() -> int:
    return len(os.listdir("/dev/fd"))  # noqa: PTH208 - links to what is closed meanwhile
