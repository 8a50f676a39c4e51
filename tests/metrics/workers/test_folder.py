"""The files of workers: what is folded, once, whatever breaks off in between, and what is left of it."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import Any

import pytest

from belvedere import failures
from belvedere.metrics.families import Family
from belvedere.metrics.workers import folder as folders
from belvedere.metrics.workers.folder import Folder, sweep
from belvedere.metrics.workers.memory import MemoryKeys
from belvedere.metrics.workers.placing import FamilyPlacing, Placing
from belvedere.metrics.workers.segment import CHUNK, VALUE, Segment, lines
from belvedere.metrics.workers.service import Parent, folder_name, lead, parent
from belvedere.metrics.workers.sources import Keys
from belvedere.metrics.workers.view import RETIRED, Reading, View

OWNER = "shop#0"


class Member:
    """A worker without a process: its files, and families that count in them."""

    def __init__(self, path: Path, name: str) -> None:
        self.folder = Folder(path)
        with self.folder.locked():
            self.segment = Segment(path, name)
            self.segment.reserve()
            self.folder.workers()
        self.name = name
        self.placing = Placing(self.segment)
        self.home = FamilyPlacing(self.placing, OWNER)
        self.view = View(OWNER)
        self.requests = self.family("http_requests_total", "counter", "status")

    def family(self, name: str | tuple[str, ...], kind: Any, *labels: str, **options: Any) -> Family:
        family = Family((name,) if isinstance(name, str) else name, kind, "Help.", labels, **options)
        family.settle(self.home)
        return family

    def die(self) -> None:
        """What the kernel does at the end of a process: its files are closed."""
        self.segment.close()
        self.folder.close(remove=False)

    def read(self) -> list[Any]:
        with self.folder.locked():
            taken: list[Any] = [
                (Reading(worker.name, worker.pid, None, worker.values(), worker.exemplars()), Keys(worker.keys_path))
                for worker in self.folder.workers()
            ]
            retired = self.folder.retired
            taken.append((Reading(RETIRED, "", retired.keys_end, retired.values(), []), Keys(retired.keys_path)))
            memory = self.placing.memory
            taken.append((Reading("own", "", None, memory.values(), []), MemoryKeys(memory)))
            self.view.learn(taken)
        return [reading for reading, _ in taken]

    def shown(self, *, openmetrics: bool = False) -> list[str]:
        families = self.view.totals(self.read(), set())
        lines = "".join(text for family in families for text in family.lines(openmetrics=openmetrics)).splitlines()
        return sorted(line for line in lines if not line.startswith("#"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "place").mkdir(mode=0o700)
    return tmp_path / "place" / "service"


def test_files_that_are_replaced_within_one_tick(path: Path) -> None:
    """What was published last is read, also where the file system's clock has not moved since it was read before."""
    one, two = Member(path, "1-a"), Member(path, "2-b")
    (found,) = [worker for worker in two.folder.workers() if worker.name == one.name]
    for trace_id in ("a" * 32, "b" * 32, "c" * 32):
        published: Any = [[0, {"trace_id": trace_id}, 1.0, 2.0]]
        begun = path / ".1-a.exemplars"
        begun.write_bytes(lines([published]))
        os.utime(begun, ns=(10**18, 10**18))
        begun.replace(path / "1-a.exemplars")
        assert found.exemplars() == published


def test_more_than_a_chunk(path: Path) -> None:
    """9,000 series of two cells and more go on in a second and third piece of the file; none lies across two."""
    one, two = Member(path, "1-a"), Member(path, "2-b")
    histogram = one.family("h_seconds", "histogram", "x", bounds=(1.0, 2.0))
    for number in range(9000):
        cells = histogram.get(str(number)).cells
        cells[0] += number
        cells[1] += 1
    assert len(one.segment.chunks) == -(-9000 * 4 * VALUE // CHUNK)
    shown = two.shown()
    assert len(shown) == 9000 * 5
    assert 'h_seconds_sum{x="8999"} 8999.0' in shown
    assert 'h_seconds_bucket{x="8999",le="+Inf"} 1.0' in shown
    one.die()
    assert two.shown() == shown


def test_a_line_that_was_half_written(path: Path) -> None:
    """A worker was killed while it told a key: what it told before counts, and so does what others tell."""
    one, two = Member(path, "1-a"), Member(path, "2-b")
    one.requests.get("200").cells[0] += 3
    with one.segment.keys_path.open("ab") as file:
        file.write(b'["s",0,["500"],1,[""')
    assert two.shown() == ['http_requests_total{status="200"} 3.0']
    one.die()
    assert two.shown() == ['http_requests_total{status="200"} 3.0']
    two.requests.get("200").cells[0] += 1
    assert two.shown() == ['http_requests_total{status="200"} 4.0']


def test_lines_that_make_no_sense(path: Path) -> None:
    """What cannot be understood is left out, and nothing else."""
    one, two = Member(path, "1-a"), Member(path, "2-b")
    with one.segment.keys_path.open("ab") as file:
        file.write(b'["s",77,["500"],1,[""]]\n\xff\xff\n["d",99]\n')
    one.requests.get("200").cells[0] += 3
    assert two.shown() == ['http_requests_total{status="200"} 3.0']
    one.die()
    assert two.shown() == ['http_requests_total{status="200"} 3.0']


@pytest.mark.parametrize("step", ["keys", "values", "files"])
def test_folded_once(path: Path, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever folds a dead worker may be killed at any step: the next one goes on, and all is counted once."""
    one, two, three = (Member(path, f"{number}-x") for number in (1, 2, 3))
    for member in (one, two, three):
        member.requests.get("200").cells[0] += 5
    one.die()

    class Killed(BaseException):
        pass

    def killed(*_: Any) -> None:
        raise Killed

    if step == "keys":
        monkeypatch.setattr(Path, "replace", killed)
    elif step == "values":
        monkeypatch.setattr(Folder, "remove", killed)
    else:
        monkeypatch.setattr(Path, "unlink", lambda self, missing_ok=False: killed() if "keys" in self.name else None)
    with pytest.raises(Killed):
        two.shown()
    monkeypatch.undo()
    two.die()
    assert three.shown() == ['http_requests_total{status="200"} 15.0']
    assert Member(path, "4-x").shown() == ['http_requests_total{status="200"} 15.0']
    assert {file.name for file in path.iterdir()} == {
        *("lock", "retired", "retired.keys", "3-x.keys", "3-x.values", "4-x.keys", "4-x.values")
    }


def test_no_room_to_fold(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full file system: the dead stay as they are and count, until there is room."""
    one, two = Member(path, "1-a"), Member(path, "2-b")
    one.requests.get("200").cells[0] += 5
    two.requests.get("200").cells[0] += 5
    one.die()

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        for _ in range(3):
            assert two.shown() == ['http_requests_total{status="200"} 10.0']
    assert failures.counts.pop("metrics") == 3
    assert two.shown() == ['http_requests_total{status="200"} 10.0']
    assert not one.segment.values_path.exists()


def test_no_room_to_count(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What finds no room is counted in memory and shown by its own worker; the rest is shared as before."""
    one, two = Member(path, "1-a"), Member(path, "2-b")
    one.requests.get("200").cells[0] += 1

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        series = one.requests.get("500")
        series.cells[0] += 2
        one.family("late_total", "counter").get().cells[0] += 1
    assert failures.counts.pop("metrics") == 2
    one.family("later_total", "counter").get().cells[0] += 1
    assert one.shown() == [
        *('http_requests_total{status="200"} 1.0', 'http_requests_total{status="500"} 2.0', "late_total 1.0"),
        "later_total 1.0",
    ]
    assert two.shown() == ['http_requests_total{status="200"} 1.0', "later_total 1.0"]
    one.requests.clear()
    assert one.shown() == ["late_total 1.0", "later_total 1.0"]


def test_a_bucket_that_is_added(path: Path) -> None:
    """An objective declared at run time adds a bucket in one worker: what was counted before stays in the sums."""
    one, two = Member(path, "1-a"), Member(path, "2-b")
    made = [member.family("h_seconds", "histogram", bounds=(1.0,)) for member in (one, two)]
    for histogram in made:
        histogram.get().cells[1] += 1
    made[0].add_bound(0.5)
    made[0].get().cells[1] += 1
    for member in (one, two):
        assert member.shown() == [
            *('h_seconds_bucket{le="+Inf"} 3.0', 'h_seconds_bucket{le="0.5"} 1.0', 'h_seconds_bucket{le="1.0"} 3.0'),
            *("h_seconds_count 3.0", "h_seconds_sum 0.0"),
        ]
    shown = two.shown()
    one.die()
    assert two.shown() == shown
    Member(path, "3-c").family("h_seconds", "histogram", bounds=(0.5, 1.0)).get().cells[3] += 1
    assert two.shown()[0] == 'h_seconds_bucket{le="+Inf"} 4.0'


def test_several_names_for_one_metric(path: Path) -> None:
    """Each name shows the whole."""
    one, two = Member(path, "1-a"), Member(path, "2-b")
    for member in (one, two):
        family = member.family(("a_total", "b_total"), "counter", "service", "team")
        family.get("shop", "x").cells[0] += 1
    text = ['a_total{service="shop",team="x"} 2.0', 'b_total{service="shop",team="x"} 2.0']
    assert two.shown() == text
    one.die()
    assert two.shown() == text


def test_a_thousand_recycled_workers(path: Path) -> None:
    """What they counted is there, their files are not, and a bound on label sets holds for all of them together."""
    stays = Member(path, "1-a")
    for number in range(1000):
        member = Member(path, f"{number + 2}-x")
        member.requests.get("200").cells[0] += 1
        bounded = member.family("bounded_total", "counter", "route", "user")
        bounded.max_series, bounded.first_foldable = 50, 1
        bounded.get("/a", str(number)).cells[0] += 1
        if number % 2:
            member.die()
        else:
            with member.folder.locked():
                workers = member.folder.workers()
                member.folder.fold([worker for worker in workers if worker.name == member.name])
                member.folder.close(remove=False)
            member.die()
    shown = stays.shown()
    bounded_lines = [line for line in shown if line.startswith("bounded")]
    assert 'http_requests_total{status="200"} 1000.0' in shown
    assert len(bounded_lines) == 51
    assert 'bounded_total{route="/a",user="_overflow"} 950.0' in bounded_lines
    assert {file.name for file in path.iterdir()} == {"lock", "retired", "retired.keys", "1-a.keys", "1-a.values"}
    assert sum(file.stat().st_size for file in path.glob("retired*")) < 10_000


def test_a_folder_that_is_taken_away_while_one_waits_for_it(path: Path) -> None:
    """Both are made anew: the last service of a user removes the place as well."""
    one = Member(path, "1-a")
    with one.folder.locked():
        one.folder.close(remove=True)
    one.die()
    assert not path.parent.exists()
    assert Member(path, "2-b").shown() == []


def test_what_a_crash_left_is_swept(path: Path) -> None:
    """Only where the parent is gone and nobody lives; a folder of another container after a day."""
    place = path.parent
    gone, here = Parent(2**22 + 1, "1"), Parent(os.getpid(), "unknown")
    told = {name: folder_name(gone, name, []) for name in ("dead", "orphans", "other", "old")}
    # Workers that come when their parent has ended cannot tell any more when that was started.
    told["late"] = folder_name(gone._replace(started=""), "late", [])
    for name in ("other", "old"):
        parts = told[name].split("-")
        told[name] = "-".join([*parts[:2], "1", parts[3]])
    living = Member(place / told["orphans"], "1-a")
    for name in ("dead", "late", "other", "old"):
        Member(place / told[name], "1-a").die()
    os.utime(place / told["old"], (time.time() - 90_000,) * 2)
    (place / "something-else").mkdir()
    sweep(place, "own")
    assert {found.name for found in place.iterdir()} == {told["orphans"], told["other"], "something-else"}
    living.die()
    sweep(place, "own")
    assert {found.name for found in place.iterdir()} == {told["other"], "something-else"}
    sweep(path / "nowhere", "own")
    assert here.pid == os.getpid()


def test_a_parent_that_cannot_be_looked_at_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where /proc hides the processes of others (`hidepid`), one of another user is not taken for gone."""

    def hidden(path: Path, **_: Any) -> str:
        raise FileNotFoundError(path)

    def of_another_user(pid: int, _: int) -> None:
        raise PermissionError if pid == os.getppid() else ProcessLookupError

    monkeypatch.setattr(Path, "read_text", hidden)
    monkeypatch.setattr(os, "kill", of_another_user)
    try:
        lead(os.getppid())
        hiding = parent()
        lead(2**22 + 1)
        gone = parent()
    finally:
        lead(None)
    assert hiding is not None
    assert gone is not None
    assert (hiding.alive, gone.alive) == (True, False)


def test_somebody_who_cannot_be_looked_at(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where files cannot be opened, as a process has too many open, nobody is taken for dead."""
    abandoned = path.parent / folder_name(Parent(2**22 + 1, "1"), "shop", [])
    Member(abandoned, "1-a")

    def too_many(*_: Any) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(folders, "WorkerFiles", too_many)
    sweep(path.parent, "own")
    assert abandoned.exists()
