"""What a killed worker left is delivered by whoever comes first, and by nobody else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from belvedere.interactions.journal import Batch, Journal
from tests.interactions.journal.processes import DEADLINE, Make, append, drain, figures


def events(name: str, count: int) -> list[bytes]:
    return [f"{name}{number}".encode() for number in range(count)]


def adopt(journal: Journal) -> int:
    return journal.adopt()


def take(journal: Journal, limit: int) -> list[bytes]:
    """Take events and settle them never."""
    batch = journal.take(limit)
    _kept.append(batch)
    return [] if batch is None else batch.payloads


_kept: list[Batch | None] = []


def test_the_files_of_the_living_are_their_own(make: Make) -> None:
    """Until they are killed; then all is there, once."""
    one, two, three = make(segment_bytes=1000), make(), make()
    one(append, events("one", 100))
    assert two(adopt) == 0
    assert two(take, 1) == []
    one.kill()
    assert two(adopt) == 3
    assert three(adopt) == 0
    assert two(figures)["pending"] == 100
    assert two(drain) == events("one", 100)
    assert three(adopt) == 0
    assert two(figures)["dropped"] == {}


def test_what_a_killed_adopter_had_is_adopted_again(make: Make) -> None:
    """What it had delivered is not delivered again."""
    one, two, three = make(), make(), make()
    one(append, events("one", 10))
    one.kill()
    assert two(adopt) == 1
    assert two(drain_some, 4) == events("one", 4)
    assert two(take, 2) == events("one", 6)[4:]
    two(append, events("two", 3))
    two.kill()
    assert three(adopt) == 2
    assert three(drain) == [*events("one", 10)[4:], *events("two", 3)]


def drain_some(journal: Journal, limit: int) -> list[bytes]:
    batch = journal.take(limit)
    assert batch is not None
    batch.done()
    return batch.payloads


def test_several_who_adopt_at_once_share_without_overlap(make: Make, folder: Path) -> None:
    """However many dead there are, each worker's events are delivered by one of the living."""
    left: list[bytes] = []
    for number in range(30):
        left += leave(folder, events(f"{number}-", 20))
    living = [make() for _ in range(3)]
    for worker in living:
        worker.begin(deliver_all)
    delivered = [worker.answer() for worker in living]
    assert sorted([payload for payloads in delivered for payload in payloads]) == sorted(left)
    for worker in living:
        worker(Journal.close)
    assert list(folder.iterdir()) == []


def leave(folder: Path, payloads: list[bytes]) -> list[bytes]:
    """Leave events behind as a killed worker does."""
    journal = Journal(folder)
    journal.open()
    for payload in payloads:
        journal.append(payload)
    journal.forked()
    return payloads


def deliver_all(journal: Journal) -> list[bytes]:
    """Adopt and deliver until there has been nothing for a while."""
    delivered: list[bytes] = []
    quiet = 0
    while quiet < 20:
        journal.adopt()
        some = drain(journal, 7)
        delivered += some
        quiet = 0 if some else quiet + 1
        time.sleep(0.01)
    return delivered


def acknowledge(journal: Journal, path: str) -> None:
    """Append until the end, and tell of each event after it was appended; deliver some now and then."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    number = 0
    while True:
        if journal.append(b"%d" % number):
            os.write(descriptor, b"%d\n" % number)
        number += 1
        if number % 500 == 0 and (batch := journal.take(200)):
            os.write(descriptor, b"".join([b"d%s\n" % payload for payload in batch.payloads]))
            batch.done()


def test_what_was_appended_outlives_kill_9_at_any_moment(make: Make, folder: Path, tmp_path: Path) -> None:
    """Nothing is lost; only the batch that was being settled is delivered twice."""
    told = [tmp_path / f"told{number}" for number in range(4)]
    for number, path in enumerate(told):
        worker = make(segment_bytes=10_000)
        worker.begin(acknowledge, str(path))
        deadline = time.monotonic() + DEADLINE
        while not path.exists() or path.stat().st_size < 20_000 * (number + 1):
            assert time.monotonic() < deadline
            time.sleep(0.001)
        worker.kill()
        lines = path.read_bytes().split(b"\n")[:-1]
        appended = {line for line in lines if not line.startswith(b"d")}
        delivered = [line[1:] for line in lines if line.startswith(b"d")]
        journal = Journal(folder)
        journal.open()
        journal.adopt()
        rest = drain(journal)
        journal.close()
        assert appended <= {*delivered, *rest}
        # One more may have been appended than was told.
        assert len(appended) <= len({*delivered, *rest}) <= len(appended) + 1
        assert len(delivered) == len(set(delivered))
        assert len(rest) == len(set(rest))
        assert len(set(delivered) & set(rest)) <= 200
    assert list(folder.iterdir()) == []


def fork(journal: Journal, payloads: list[bytes]) -> dict[str, Any]:
    """Append in a child, which then ends at once."""
    batch = journal.take(1)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        state = journal.state, journal.pending
        if batch is not None:
            batch.done()  # the parent's: nothing happens
        kept = [journal.append(payload) for payload in payloads]
        os.write(writer, repr({"before": state, "kept": kept, "after": (journal.state, journal.pending)}).encode())
        os.kill(os.getpid(), signal.SIGKILL)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        told: dict[str, Any] = eval(pipe.read())  # noqa: S307
    os.waitpid(child, 0)
    if batch is not None:
        batch.back()
    return told


def test_a_child_has_files_of_its_own(make: Make, folder: Path) -> None:
    """gunicorn --preload: the parent's stay the parent's, and the child's are adopted when it is killed."""
    parent = make()
    parent(append, events("parent", 3))
    before = {path: path.read_bytes() for path in folder.iterdir()}
    told = parent(fork, events("child", 2))
    assert told == {"before": ("memory", 0), "kept": [True, True], "after": ("journal", 2)}
    assert {path: path.read_bytes() for path in before} == before
    assert len(list(folder.iterdir())) == 4
    assert parent(drain) == events("parent", 3)
    assert parent(adopt) == 1
    assert parent(drain) == events("child", 2)


def fork_and_wait(journal: Journal) -> int:
    """Leave a child behind that does nothing; return its number."""
    child = os.fork()
    if child == 0:
        time.sleep(DEADLINE)
        os._exit(0)
    return child


def test_a_child_is_no_sign_of_life_of_its_parent(make: Make) -> None:
    """One that outlives its parent does not keep others from what the parent left; nor does a command it started."""
    parent, other = make(), make()
    parent(append, events("parent", 3))
    child = parent(fork_and_wait)
    command = parent(start_command)
    try:
        parent.kill()
        assert other(adopt) == 1
        assert other(drain) == events("parent", 3)
    finally:
        os.kill(child, signal.SIGKILL)
        os.kill(command, signal.SIGKILL)


def start_command(journal: Journal) -> int:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid


def test_memory_and_batches_are_the_parents(make: Make, tmp_path: Path) -> None:
    """A child does not deliver what its parent has in memory."""
    parent = make(before=_in_the_way)
    parent(append, events("parent", 3))
    told = parent(fork, events("child", 2))
    assert told == {"before": ("memory", 0), "kept": [True, True], "after": ("memory", 2)}
    assert parent(drain) == events("parent", 3)


def _in_the_way(folder: Path) -> None:
    folder.write_text("a file where the folder should be")


def test_files_of_idle_workers_are_removed(make: Make, folder: Path) -> None:
    """A worker that was killed with nothing to deliver leaves nothing for long."""
    one, two = make(), make()
    two(append, [b"x"])
    two(drain)
    one.kill()
    two.kill()
    assert len(list(folder.iterdir())) == 4
    journal = Journal(folder)
    journal.open()
    assert journal.adopt() == 0
    assert len(list(folder.iterdir())) == 2
    journal.close()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("seconds", [-100, 1_000_000])
def test_segments_without_a_sign_of_life_are_adopted_after_a_minute(seconds: float, folder: Path) -> None:
    """If somebody has removed that; also where the clock was ahead when they were written, and was put back since."""
    leave(folder, [b"a", b"b"])
    for life in folder.glob("*.life"):
        life.unlink()
    journal = Journal(folder)
    journal.open()
    assert journal.adopt() == 0
    for path in folder.glob("*.events"):
        os.utime(path, (time.time() + seconds,) * 2)
    assert journal.adopt() == 1
    assert drain(journal) == [b"a", b"b"]
    journal.close()
    assert list(folder.iterdir()) == []


def test_a_pid_that_is_used_again_is_nobodys_life(folder: Path) -> None:
    """Files that carry this very process's number are adopted, as nobody holds them."""
    leave(folder, [b"a"])
    assert any(f"-{os.getpid()}-" in path.name for path in folder.iterdir())
    journal = Journal(folder)
    journal.open()
    assert journal.adopt() == 1
    assert drain(journal) == [b"a"]
    journal.close()
