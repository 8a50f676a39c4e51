"""The folder in which the workers of one service meet: who is there, who is gone, and what the gone have counted.

All that changes it, and each scrape, holds one lock: a scrape never sees a worker twice, nor not at all.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from belvedere import failures
from belvedere.metrics.workers import records
from belvedere.metrics.workers.records import FamilyKey
from belvedere.metrics.workers.segment import Record
from belvedere.metrics.workers.service import parent_of
from belvedere.metrics.workers.sources import Keys, RetiredFiles, WorkerFiles

_LOCK = "lock"


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
        self._cells = 0

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder, made anew where somebody has just removed it.

        Raises:
            OSError: it cannot be made.
        """
        while True:
            self.path.mkdir(mode=0o700, exist_ok=True)
            try:
                descriptor = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if self._is_lock(descriptor):
                    yield
                    return
            finally:
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
        return [worker for worker in self._known.values() if not worker.dead]

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

    def _is_lock(self, descriptor: int) -> bool:
        """Whether the lock that was waited for is still that of the folder."""
        with suppress(FileNotFoundError):
            return (self.path / _LOCK).stat().st_ino == os.fstat(descriptor).st_ino
        return False

    def _catch_up(self) -> None:
        """Read what was added to the keys of the gone since the last time."""
        for record in self._keys.news(self.retired.keys_end):
            if record[0] == "f":
                key = records.family_key(record)
                self._families[key] = record[1]
                self._by_number[record[1]] = key
            elif record[0] == "s":
                self._place(self._by_number[record[1]], tuple(record[2]), record[3], record[4])

    def _place(self, key: FamilyKey, values: tuple[str, ...], cell: int, roles: list[str]) -> None:
        for number, role in enumerate(roles, start=cell):
            self._places[key, values, role] = number
        self._cells = max(self._cells, cell + len(roles))

    def _fold_one(self, worker: WorkerFiles, values: list[float], added: list[Record]) -> None:
        # Read anew and whole, as the worker may be known only in part.
        files = WorkerFiles(self.path, worker.name)
        try:
            counted = files.values()
            families: dict[int, FamilyKey] = {}
            series: dict[int, tuple[FamilyKey, tuple[str, ...], list[str]]] = {}
            for record in Keys(self.path / f"{worker.name}.keys").news():
                if record[0] == "f":
                    families[record[1]] = records.family_key(record)
                elif record[0] == "s" and families[record[1]].adds:
                    series[record[3]] = (families[record[1]], tuple(record[2]), record[4])
                elif record[0] == "d":
                    series.pop(record[1], None)
        finally:
            files.close()
        for cell, (key, label_values, roles) in series.items():
            for number, role in enumerate(roles, start=cell):
                at = self._places.get((key, label_values, role))
                if at is None:
                    at = self._new_place(key, label_values, roles, added)[role]
                values.extend([0.0] * (at + 1 - len(values)))
                values[at] += counted[number]

    def _new_place(
        self, key: FamilyKey, values: tuple[str, ...], roles: list[str], added: list[Record]
    ) -> dict[str, int]:
        number = self._families.get(key)
        if number is None:
            number = self._families[key] = len(self._families)
            self._by_number[number] = key
            added.append(records.family(number, key))
        cell = self._cells
        added.append(records.series(number, values, cell, roles))
        self._place(key, values, cell, roles)
        return {role: at for at, role in enumerate(roles, start=cell)}

    def _forget(self) -> None:
        """Read the keys of the gone from their beginning the next time: what was planned was not written."""
        self._keys = Keys(self.retired.keys_path)
        self._places.clear()
        self._families.clear()
        self._by_number.clear()
        self._cells = 0


def sweep(place: Path, own: str) -> None:
    """Remove what services left behind that ended without a chance to: their parent is gone, and nobody lives there."""
    for path in place.iterdir():
        parent = parent_of(path.name)
        if path.name == own or parent is None or parent.alive:
            continue
        workers = []
        with suppress(OSError):
            workers = [WorkerFiles(path, values.stem) for values in path.glob("[0-9]*.values")]
        if not any(worker.alive for worker in workers):
            shutil.rmtree(path, ignore_errors=True)
        for worker in workers:
            worker.close()
