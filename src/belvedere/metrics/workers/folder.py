"""The folder in which the workers of one service meet: who is there, who is gone, and what the gone have counted.

All that changes it, and each scrape, holds one lock: a scrape never sees a worker twice, nor not at all.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from belvedere import failures
from belvedere.conventions import OVERFLOW
from belvedere.locking import fcntl
from belvedere.metrics.workers import records
from belvedere.metrics.workers.records import FamilyKey
from belvedere.metrics.workers.segment import Record
from belvedere.metrics.workers.service import parent_of, private
from belvedere.metrics.workers.sources import Keys, RetiredFiles, WorkerFiles

_LOCK = "lock"
_A_DAY = 24 * 3600.0
"""Seconds without a worker that came or went, after which nobody will come back from where it cannot be looked at."""


class Folder:
    """The meeting place of one service's workers.

    Args:
        path: made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, WorkerFiles] = {}
        self.retired = RetiredFiles(path)
        self._keys = Keys(self.retired.keys_path)
        self._places: dict[tuple[FamilyKey, tuple[str, ...], str], int] = {}
        self._families: dict[FamilyKey, int] = {}
        self._by_number: dict[int, FamilyKey] = {}
        self._label_sets: dict[FamilyKey, set[tuple[str, ...]]] = {}
        self._served: dict[str, set[str]] = {}
        self._cells = 0

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder, made anew where somebody has just removed it.

        Raises:
            OSError: it cannot be made.
        """
        while True:
            try:
                descriptor = os.open(self.path / _LOCK, os.O_RDONLY | os.O_CREAT, 0o600)
            except FileNotFoundError:
                self._make()
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if self._is_lock(descriptor):
                    yield
                    return
            finally:
                # By name: a process that was forked meanwhile has the descriptor as well, and may live long.
                fcntl.flock(descriptor, fcntl.LOCK_UN)
                os.close(descriptor)

    def workers(self) -> list[WorkerFiles]:
        """Return the files of all workers that live, those of the dead having been folded; while it is locked."""
        found = {path.stem for path in self.path.glob("[0-9]*.values")}
        for name in found - self._known.keys():
            with suppress(OSError):
                self._known[name] = WorkerFiles(self.path, name)
        for name in self._known.keys() - found:
            self._known.pop(name).close()
        dead = [worker for worker in self._known.values() if not worker.alive]
        if dead:
            self.fold(dead)
        # Where there is no room to fold them, the dead stay, but for those that somebody has folded already.
        folded = set(self.retired.workers)
        return [worker for worker in self._known.values() if not worker.dead and worker.name not in folded]

    def fold(self, dead: list[WorkerFiles]) -> None:
        """Add what workers have counted to what is kept of the gone, and remove their files; while it is locked.

        Gauges go with their worker.
        """
        try:
            kept = self.retired.workers
            self._catch_up()
            values = self.retired.values()
            added: list[Record] = []
            for worker in dead:
                # One that was folded by somebody who was killed before he could remove its files counts once.
                if worker.name not in kept:
                    self._fold_one(worker, values, added)
            there = [name for name in kept if (self.path / f"{name}.values").exists()]
            self.retired.write(values, added, [*there, *(worker.name for worker in dead)])
        except OSError as error:
            # No room: their files stay, and the next one tries again.
            failures.contain("metrics", error)
            self._forget()
            return
        for worker in dead:
            worker.dead = True
            self.remove(worker.name)
            if worker.name in self._known:
                self._known.pop(worker.name).close()

    def remove(self, name: str) -> None:
        """Remove the files of a worker, the sign of life last."""
        for suffix in ("exemplars", "keys", "values"):
            (self.path / f"{name}.{suffix}").unlink(missing_ok=True)

    def close(self, *, remove: bool) -> None:
        """Let go of it; `remove`: with all that is in it, while it is locked."""
        for worker in self._known.values():
            worker.close()
        self._known.clear()
        if remove:
            shutil.rmtree(self.path, ignore_errors=True)
            with suppress(OSError):
                # Not empty: other services of this user are there.
                self.path.parent.rmdir()

    def _make(self) -> None:
        # Both: the last service to end removes the place as well.
        if not private(self.path.parent):
            raise PermissionError(f"{self.path.parent} is not this user's alone")
        with suppress(FileNotFoundError):
            self.path.mkdir(mode=0o700, exist_ok=True)

    def _is_lock(self, descriptor: int) -> bool:
        """Whether the lock that was waited for is still that of the folder."""
        with suppress(FileNotFoundError):
            return (self.path / _LOCK).stat().st_ino == os.fstat(descriptor).st_ino
        return False

    def _catch_up(self) -> None:
        """Read what was added to the keys of the gone since the last time."""
        for record in self._keys.news(self.retired.keys_end):
            if record[0] == "f":
                key = records.family_key(record).identity
                self._families[key] = record[1]
                self._by_number[record[1]] = key
            elif record[0] == "s" and record[1] in self._by_number:
                self._place(self._by_number[record[1]], tuple(record[2]), record[3], record[4])
            elif record[0] == "r":
                self._served.setdefault(record[1], set()).update(record[2])

    def _place(self, key: FamilyKey, values: tuple[str, ...], cell: int, roles: list[str]) -> None:
        for number, role in enumerate(roles, start=cell):
            self._places[key, values, role] = number
        self._label_sets.setdefault(key, set()).add(values)
        self._cells = max(self._cells, cell + len(roles))

    def _fold_one(self, worker: WorkerFiles, values: list[float], added: list[Record]) -> None:
        # Read anew and whole, as the worker may be known only in part.
        files = WorkerFiles(self.path, worker.name)
        try:
            counted = files.values()
            told = Keys(self.path / f"{worker.name}.keys").news()
        finally:
            files.close()
        families = {record[1]: record for record in told if record[0] == "f"}
        series: dict[int, Record] = {}
        for record in told:
            if record[0] == "s" and record[1] in families:
                series[record[3]] = record
            elif record[0] == "d":
                series.pop(record[1], None)
            elif record[0] == "r":
                self._serve(record[1], record[2], added)
        for cell, (_, number, label_values, _, roles) in series.items():
            if records.family_key(families[number]).adds:
                at = self._place_for(families[number], tuple(label_values), roles, added)
                for place, value in zip(at, counted[cell:], strict=False):
                    values.extend([0.0] * (place + 1 - len(values)))
                    values[place] += value

    def _serve(self, owner: str, names: list[str], added: list[Record]) -> None:
        served = self._served.setdefault(owner, set())
        if new := sorted(set(names) - served):
            served.update(new)
            added.append(records.serves(owner, new))

    def _place_for(self, family: Record, values: tuple[str, ...], roles: list[str], added: list[Record]) -> list[int]:
        """Return where the cells of a series are added to: in those of `_overflow`, if its family has no room."""
        key = records.family_key(family)
        known = self._label_sets.setdefault(key.identity, set())
        bound = records.bound(family)
        if bound is not None and len(known) >= bound.series and values not in known:
            values = (*values[: bound.first], *[OVERFLOW] * (len(values) - bound.first))
        at = [self._places.get((key.identity, values, role)) for role in roles]
        found = [place for place in at if place is not None]
        return found if len(found) == len(at) else self._new_place(key, values, roles, added)

    def _new_place(self, key: FamilyKey, values: tuple[str, ...], roles: list[str], added: list[Record]) -> list[int]:
        number = self._families.get(key.identity)
        if number is None:
            number = self._families[key.identity] = len(self._families)
            self._by_number[number] = key.identity
            added.append(records.family(number, key))
        cell = self._cells
        added.append(records.series(number, values, cell, roles))
        self._place(key.identity, values, cell, roles)
        return list(range(cell, cell + len(roles)))

    def _forget(self) -> None:
        """Read the keys of the gone from their beginning the next time: what was planned was not written."""
        self._keys = Keys(self.retired.keys_path)
        self._places.clear()
        self._families.clear()
        self._by_number.clear()
        self._label_sets.clear()
        self._served.clear()
        self._cells = 0


def sweep(place: Path, own: str) -> None:
    """Remove what services left behind that ended without a chance to: their parent is gone, and nobody lives there."""
    for path in _inside(place):
        if path.name == own or not _abandoned(path):
            continue
        # Somebody who cannot be looked at may live.
        with suppress(OSError):
            if not any(_alive(path, values.stem) for values in path.glob("[0-9]*.values")):
                shutil.rmtree(path, ignore_errors=True)


def _inside(place: Path) -> list[Path]:
    try:
        return list(place.iterdir())
    except FileNotFoundError:
        return []


def _abandoned(path: Path) -> bool:
    """Whether the parent of a service is gone; that of another container cannot be seen: there, after a day."""
    parent = parent_of(path.name)
    if parent is None:
        return False
    if parent.visible:
        return not parent.alive
    try:
        return time.time() - path.stat().st_mtime > _A_DAY
    except OSError:
        return False


def _alive(folder: Path, name: str) -> bool:
    worker = WorkerFiles(folder, name)
    try:
        return worker.alive
    finally:
        worker.close()
