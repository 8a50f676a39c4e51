"""Where there is no file to write to, memory takes over, says why, and gives back what it has."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from belvedere.interactions.journal import Journal
from belvedere.interactions.journal.writer import LOOK, RETRY
from tests.interactions.journal.processes import Make, append, drain, figures

ROOT = os.geteuid() == 0


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@contextmanager
def file_system(place: Path, options: str) -> Iterator[Path]:
    """Have a small file system of its own."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    if not ROOT or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def events(count: int, start: int = 0) -> list[bytes]:
    return [b'{"event":%d,"more":"%s"}' % (number, b"x" * 300) for number in range(start, start + count)]


@pytest.mark.parametrize("segment_bytes", [1 << 20, 20_000])
def test_a_full_disk(tmp_path: Path, clock: Clock, segment_bytes: int) -> None:
    """What does not fit waits in memory, whole; with room on the disk it goes there, without being asked."""
    with file_system(tmp_path / "disk", "size=100k,mode=700") as place:
        journal = Journal(place / "journal", segment_bytes=segment_bytes, clock=clock)
        journal.open()
        (place / "ballast").write_bytes(b"x" * 60_000)
        assert all(journal.append(event) for event in events(500))
        assert (journal.state, journal.pending) == ("memory", 500)
        assert journal.why == f"{os.strerror(errno.ENOSPC)}: {place / 'journal'}"
        on_disk = sum(path.stat().st_size for path in place.rglob("*.events"))
        assert on_disk < 40_000
        clock.now += RETRY
        journal.append(events(1, 500)[0])
        assert journal.state == "memory"
        batch = journal.take(1)
        assert batch is not None
        batch.back()
        # Nothing more is made while it is full, however often that is tried.
        for number in range(20):
            clock.now += RETRY
            journal.append(events(1, 501 + number)[0])
        assert sum(path.stat().st_size for path in place.rglob("*.events")) < 40_000
        assert len(list((place / "journal").iterdir())) <= 4
        (place / "ballast").unlink()
        small = drain_some(journal, 100)
        assert small == events(100)
        subprocess.run(["mount", "-o", "remount,size=1m", str(place)], check=True)
        assert journal.append(events(1, 521)[0])
        assert journal.state == "memory"
        clock.now += RETRY
        assert journal.append(events(1, 522)[0])
        assert (journal.state, journal.why, journal.pending) == ("journal", str(place / "journal"), 423)
        journal.adopt()
        assert journal.dropped == {}
        journal.forked()  # as kill -9 leaves it: all of it is on the disk again
        other = Journal(place / "journal")
        other.open()
        assert other.adopt() >= 1
        assert other.pending == 423
        found = drain(other)
        assert sorted(found) == sorted(events(423, 100))
        # The one that came as there was room again did not wait for all of the others.
        assert [event for event in found if event not in events(1, 522)] == events(422, 100)
        assert other.dropped == {}
        other.close()
        assert list((place / "journal").iterdir()) == []


def drain_some(journal: Journal, limit: int) -> list[bytes]:
    batch = journal.take(limit)
    assert batch is not None
    batch.done()
    return batch.payloads


def _bound_files(folder: Path) -> None:
    """No file of this process may be longer than 10 kB: a write in the middle of a frame is cut short."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))


def test_a_write_that_is_cut_short(make: Make, folder: Path) -> None:
    """Half a frame is taken away again, and its event waits in memory."""
    worker = make(before=_bound_files)
    assert all(worker(append, events(50)))
    told = worker(figures)
    assert (told["state"], told["why"]) == ("memory", f"{os.strerror(errno.EFBIG)}: {folder}")
    assert told["pending"] == 50
    (path,) = folder.glob("*.events")
    whole = path.stat().st_size
    assert 9_000 < whole <= 10_000
    assert worker(drain) == events(50)
    assert worker(figures)["dropped"] == {}


@pytest.mark.skipif(not ROOT, reason="needs a file system of its own")
def test_a_file_system_that_becomes_read_only_and_writable_again(tmp_path: Path, clock: Clock) -> None:
    """Nothing can be made at first; later it can; no more files can be begun later."""
    with file_system(tmp_path / "disk", "size=1m,mode=700,ro") as place:
        journal = Journal(place / "journal", clock=clock)
        journal.open()
        assert (journal.state, journal.why) == ("memory", f"{os.strerror(errno.EROFS)}: {place / 'journal'}")
        assert all(journal.append(event) for event in events(10))
        assert journal.adopt() == 0
        subprocess.run(["mount", "-o", "remount,rw", str(place)], check=True)
        clock.now += RETRY
        # Also with nobody who appends.
        journal.adopt()
        assert (journal.state, journal.pending) == ("journal", 10)
        assert drain(journal) == events(10)
        journal.close()


def test_a_folder_that_cannot_be_made(tmp_path: Path, clock: Clock) -> None:
    """As there is a file in its place; it is tried again after seconds, not with each event."""
    folder = tmp_path / "journal"
    folder.write_text("")
    journal = Journal(folder, memory=5, clock=clock)
    journal.open()
    assert [journal.append(event) for event in events(7)] == [True] * 5 + [False] * 2
    assert (journal.state, journal.pending, journal.bytes) == ("memory", 5, 0)
    assert journal.why == f"{os.strerror(errno.EEXIST)}: {folder}"
    assert journal.dropped == {"memory_full": 2}
    folder.unlink()
    assert drain_some(journal, 2) == events(2)
    assert journal.append(events(1, 5)[0])
    assert journal.state == "memory"
    clock.now += RETRY
    assert journal.append(events(1, 6)[0])
    assert (journal.state, journal.pending) == ("journal", 5)
    assert drain(journal) == events(5, 2)
    journal.close()


def test_what_is_taken_from_memory_still_counts(clock: Clock) -> None:
    """A batch that may come back has its place kept."""
    journal = Journal(None, memory=5, clock=clock)
    journal.open()
    assert (journal.state, journal.why) == ("memory", "no folder was given")
    for event in events(5):
        journal.append(event)
    batch = journal.take(3)
    assert batch is not None
    clock.now += 2.0
    assert not journal.append(b"x")
    assert (journal.pending, journal.oldest) == (5, 2.0)
    batch.back()
    assert drain(journal) == events(5)
    assert (journal.pending, journal.oldest) == (0, None)
    journal.append(b"x")
    journal.close()
    assert journal.dropped == {"memory_full": 1, "closed": 1}


def test_closing_writes_down_what_memory_has(tmp_path: Path, clock: Clock) -> None:
    """If the disk works again, with no regard to when it was tried last."""
    folder = tmp_path / "journal"
    folder.write_text("")
    journal = Journal(folder, clock=clock)
    journal.open()
    for event in events(200):
        journal.append(event)
    folder.unlink()
    journal.close()
    assert journal.dropped == {}
    journal.open()
    journal.adopt()
    assert drain(journal) == events(200)
    journal.close()


@pytest.mark.skipif(not ROOT, reason="only root can give files away")
def test_a_folder_of_somebody_else(folder: Path) -> None:
    """What lies in it may be anything; nothing is read or written there."""
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    journal = Journal(folder)
    journal.open()
    assert (journal.state, journal.why) == ("memory", f"belongs to another user: {folder}")
    assert list(folder.iterdir()) == []
    journal.close()


@pytest.mark.skipif(not ROOT, reason="only root can give files away")
def test_files_of_somebody_else(folder: Path) -> None:
    """In a folder of ours that others can write to, what they have put there is not delivered."""
    journal = Journal(folder)
    journal.open()
    journal.append(b"forged")
    journal.forked()
    for path in folder.iterdir():
        os.chown(path, 65534, 65534)
    assert journal.adopt() == 0
    assert drain(journal) == []
    journal.close()


def test_links_are_not_followed(folder: Path, tmp_path: Path) -> None:
    """Nobody has us lock, read or remove what is elsewhere."""
    journal = Journal(folder)
    journal.open()
    journal.append(b"x")
    journal.forked()
    for path in list(folder.iterdir()):
        path.rename(tmp_path / path.name)
        path.symlink_to(tmp_path / path.name)
    assert journal.adopt() == 0
    journal.close()
    assert len(list(tmp_path.glob("0*"))) == 2


@pytest.mark.parametrize("quick", [False, True])
def test_a_folder_that_is_removed_under_us(folder: Path, clock: Clock, *, quick: bool) -> None:
    """Within a second there is a new one; what was in the old is delivered as long as the process lives."""
    journal = Journal(folder, clock=clock)
    journal.open()
    for event in events(10):
        journal.append(event)
    shutil.rmtree(folder)
    if quick:
        # Before it was noticed; whoever delivers is told nothing wrong.
        journal.take(3)
    else:
        clock.now += LOOK
    assert journal.append(events(1, 10)[0])
    assert journal.append(events(1, 11)[0])
    assert (journal.state, journal.pending) == ("journal", 12)
    assert len(list(folder.iterdir())) == 2
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert drain(journal) == events(12)
    assert journal.dropped == {}
    journal.append(b"x")
    journal.adopt()
    assert drain(journal) == [b"x"]
    journal.close()
    assert list(folder.iterdir()) == []


def test_a_folder_that_is_removed_and_cannot_be_made_again(folder: Path, clock: Clock) -> None:
    """Memory takes over, and what was in the file is delivered."""
    journal = Journal(folder, clock=clock)
    journal.open()
    journal.append(b"a")
    shutil.rmtree(folder)
    folder.write_text("")
    clock.now += LOOK
    assert journal.append(b"b")
    assert (journal.state, journal.pending) == ("memory", 2)
    assert drain(journal) == [b"a", b"b"]
    journal.close()


def test_no_more_than_the_limit(folder: Path, clock: Clock) -> None:
    """Of the whole folder: what siblings and dead workers have there counts, as of the last look."""
    dead, sibling = (Journal(folder, segment_bytes=1000) for _ in range(2))
    for one in (dead, sibling):
        one.open()
        for event in events(10):
            one.append(event)
    dead.forked()
    journal = Journal(folder, segment_bytes=2000, limit_bytes=10_000, clock=clock)
    journal.open()
    journal.adopt()
    kept = [journal.append(event) for event in events(20)]
    written = sum(kept)
    assert kept == [True] * written + [False] * (20 - written)
    assert sum(path.stat().st_size for path in folder.glob("*.events")) <= 10_000
    assert 5 < written < 15
    assert journal.dropped == {"journal_full": 20 - written}
    assert journal.state == "journal"
    assert drain_some(journal, 10) == events(10)
    assert journal.append(b"again")
    assert drain(journal) == [*events(written), b"again"]
    sibling.close()
    journal.close()


def test_a_limit_smaller_than_a_file(folder: Path) -> None:
    """It holds within one file too."""
    journal = Journal(folder, limit_bytes=1000)
    journal.open()
    assert [journal.append(b"x" * 200) for _ in range(6)] == [True] * 4 + [False] * 2
    assert len(drain(journal)) == 4
    journal.close()


def test_too_many_open_files(make: Make, folder: Path) -> None:
    """What is open is written to beyond its size; delivering waits until there is a descriptor, and loses nothing."""
    worker = make(segment_bytes=2000)
    worker(append, events(1))
    assert worker(_without_descriptors) == [True] * 20
    assert worker(figures)["state"] == "journal"
    assert worker(figures)["pending"] == 21
    assert worker(drain) == events(21)
    assert worker(figures)["dropped"] == {}


def _without_descriptors(journal: Journal) -> list[bool]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        kept = append(journal, events(20, 1))
        assert journal.take(1) is None
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return kept


def test_a_system_without_locks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows there is memory alone."""
    monkeypatch.setattr("belvedere.locking.available", False)
    journal = Journal(folder)
    journal.open()
    assert journal.append(b"x")
    assert (journal.state, journal.why) == ("memory", "this system has no locks that end with a process")
    assert journal.adopt() == 0
    assert drain(journal) == [b"x"]
    journal.close()
    assert not folder.exists()


def test_a_clock_that_is_set_back(folder: Path, clock: Clock) -> None:
    """Nothing waits for the time that was."""
    folder.write_text("")
    journal = Journal(folder, clock=clock)
    journal.open()
    journal.append(b"a")
    folder.unlink()
    clock.now -= 100_000.0
    journal.append(b"b")
    assert (journal.state, journal.oldest) == ("journal", 0.0)
    shutil.rmtree(folder)
    clock.now -= 100_000.0
    journal.append(b"c")
    assert folder.exists()
    assert drain(journal) == [b"a", b"b", b"c"]
    journal.close()


@pytest.mark.parametrize("folder", [Path("a\0b"), Path("/proc/1/journal"), Path("/" + "x" * 300)])
def test_a_path_that_cannot_be_one(folder: Path) -> None:
    """Nothing is raised."""
    journal = Journal(folder)
    journal.open()
    assert journal.append(b"x")
    assert journal.state == "memory"
    journal.adopt()
    assert drain(journal) == [b"x"]
    journal.close()
