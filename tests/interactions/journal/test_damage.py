"""What is torn or corrupt is skipped and counted, and what follows is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from belvedere import failures
from belvedere.interactions.journal import Journal
from tests.interactions.journal.processes import drain

EVENTS = [b'{"event":%03d,"more":"%s"}' % (number, b"x" * (number % 7)) for number in range(100)]
HEAD = 20
"""Bytes before each event, and before the first."""


def left(folder: Path, *, segment_bytes: int = 1 << 20, abandon: bool = True) -> list[Path]:
    """Return the files that a worker left."""
    journal = Journal(folder, segment_bytes=segment_bytes)
    journal.open()
    for event in EVENTS:
        journal.append(event)
    if abandon:
        journal.forked()  # its descriptors are closed, and nothing else is done: as kill -9 leaves it
    else:
        journal.close()
    return sorted(folder.glob("*.events"))


def found(folder: Path, limit: int = 7, size: int = 300) -> tuple[list[bytes], dict[str, int]]:
    journal = Journal(folder)
    journal.open()
    assert journal.adopt() >= 1
    payloads = []
    while batch := journal.take(limit, size):
        payloads += batch.payloads
        batch.done()
    assert (journal.pending, journal.bytes, journal.oldest) == (0, 0, None)
    dropped = dict(journal.dropped)
    journal.close()
    assert list(folder.iterdir()) == []
    return payloads, dropped


def place(number: int) -> int:
    """Where a frame begins."""
    return HEAD + sum(HEAD + len(event) for event in EVENTS[:number])


@pytest.mark.parametrize("cut", [1, 10, 19, 20, 21, 40])
def test_a_torn_last_record_is_skipped(folder: Path, cut: int) -> None:
    """Wherever it was cut."""
    (path,) = left(folder)
    whole = path.read_bytes()
    kept = 99 if cut < HEAD + len(EVENTS[99]) else 98
    path.write_bytes(whole[:-cut])
    assert found(folder) == (EVENTS[:kept], {"torn": 1} if len(whole) - cut > place(kept) else {})


def _flip(data: bytearray, at: int, length: int = 1) -> None:
    for number in range(at, at + length):
        data[number] ^= 0xFF


def _flipped(data: bytearray, *places: int) -> bytearray:
    data = bytearray(data)
    for at in places:
        _flip(data, at)
    return data


Damage = Callable[[bytearray], None]

DAMAGES: dict[str, tuple[Damage, list[int], dict[str, int]]] = {
    "magic": (lambda data: _flip(data, place(50)), [50], {"corrupt": 1}),
    "length": (lambda data: _flip(data, place(50) + 4), [50], {"corrupt": 1}),
    "a length of gigabytes": (lambda data: _flip(data, place(50) + 7), [50], {"corrupt": 1}),
    "a length of megabytes": (lambda data: data.__setitem__(place(50) + 6, 0x70), [50], {"corrupt": 1}),
    "checksum": (lambda data: _flip(data, place(50) + 8), [50], {"corrupt": 1}),
    "payload": (lambda data: _flip(data, place(50) + HEAD + 3), [50], {"corrupt": 1}),
    "several records": (
        lambda data: _flip(data, place(50) + 5, place(53) - place(50)),
        [50, 51, 52, 53],
        {"corrupt": 1},
    ),
    "two stretches": (
        lambda data: data.__setitem__(slice(None), _flipped(data, place(3), place(60))),
        [3, 60],
        {"corrupt": 2},
    ),
    "the file's head": (lambda data: _flip(data, 0, 8), [], {}),
    "zeros instead of the end": (
        lambda data: data.__setitem__(slice(place(90), None), bytes(len(data) - place(90))),
        list(range(90, 100)),
        {"torn": 1},
    ),
    "zeros after the end": (lambda data: data.extend(bytes(5000)), [], {"torn": 1}),
    "bytes between": (lambda data: data.__setitem__(slice(place(9), place(9)), b"garbage" * 400), [], {"corrupt": 1}),
    "half a magic at the end": (lambda data: data.extend(b"\xb5\x1e"), [], {"torn": 1}),
}


@pytest.mark.parametrize("size", [100, 1 << 20])
@pytest.mark.parametrize("damage", DAMAGES)
def test_what_follows_the_damage_is_found(folder: Path, damage: str, size: int) -> None:
    """However much is read at once."""
    change, gone, dropped = DAMAGES[damage]
    (path,) = left(folder)
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)
    expected = [event for number, event in enumerate(EVENTS) if number not in gone]
    assert found(folder, limit=1000, size=size) == (expected, dropped)


def test_an_event_cannot_pass_for_several(folder: Path) -> None:
    """What somebody has put into an event is not read as a frame, if the event around it is corrupt."""
    (path,) = left(folder)
    stolen = path.read_bytes()[place(0) : place(1)]
    path.unlink()
    journal = Journal(folder)
    journal.open()
    journal.append(b"{" + stolen + b"}")
    journal.append(b"next")
    journal.forked()
    (path,) = folder.glob("*.events")
    data = bytearray(path.read_bytes())
    data[HEAD + 4] ^= 1
    path.write_bytes(data)
    assert found(folder) == ([b"next"], {"corrupt": 1})


def test_frames_are_those_of_their_worker(folder: Path) -> None:
    """A file that holds another's blocks, as after a power failure, yields none of them."""
    (path,) = left(folder)
    other = path.with_name(path.name.replace(path.name.split(".", maxsplit=1)[0][-8:], "00000000"))
    other.write_bytes(path.read_bytes())
    life = next(folder.glob("*.life"))
    other.with_name(other.name.replace(".000001.events", ".life")).write_bytes(life.read_bytes())
    path.unlink()
    assert found(folder) == ([], {"torn": 1})


@pytest.mark.parametrize("damage", [b"", b"\x01", b"\xff" * 28])
def test_an_unreadable_checkpoint_delivers_again_rather_than_not(folder: Path, damage: bytes) -> None:
    """All that is there is delivered."""
    left(folder)
    journal = Journal(folder)
    journal.open()
    journal.adopt()
    batch = journal.take(30)
    assert batch is not None
    batch.done()
    journal.close()
    (life,) = folder.glob("*.life")
    life.write_bytes(damage)
    assert found(folder) == (EVENTS, {})


def test_a_file_that_is_missing_is_counted(folder: Path) -> None:
    """By event, as far as they are known; others are delivered."""
    files = left(folder, segment_bytes=1000, abandon=False)
    assert len(files) > 3
    journal = Journal(folder)
    journal.open()
    assert journal.adopt() == len(files)
    files[1].unlink()
    payloads = drain(journal)
    dropped = dict(journal.dropped)
    assert list(dropped) == ["unreadable"]
    assert len(payloads) == 100 - dropped["unreadable"]
    assert journal.pending == 0
    journal.close()


def test_files_of_others_are_left_alone(folder: Path) -> None:
    """Whatever else lies in the folder: it is neither read nor removed, and nothing fails."""
    folder.mkdir(mode=0o700)
    odd = ["notes.txt", "x.life", "1-2-zz.life", "x.events", "1-2-abcdef01.many.events", "....events", "a.b.life"]
    for name in odd:
        (folder / name).write_text("something")
    (folder / "dir.life").mkdir()
    journal = Journal(folder)
    journal.open()
    before = dict(failures.counts)
    assert journal.adopt() == 0
    assert failures.counts == before
    journal.append(b"x")
    assert drain(journal) == [b"x"]
    journal.close()
    assert {path.name for path in folder.iterdir()} == {*odd, "dir.life"}
