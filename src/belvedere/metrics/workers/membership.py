"""This process as one of the workers of a service: it counts where its siblings can read, and reads theirs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from math import isfinite
from pathlib import Path
from typing import Any, Protocol

from belvedere import failures
from belvedere.metrics.families import Family
from belvedere.metrics.workers import records, values
from belvedere.metrics.workers.folder import Folder
from belvedere.metrics.workers.memory import MemoryKeys
from belvedere.metrics.workers.merged import MergedFamily
from belvedere.metrics.workers.mirrors import Mirrors
from belvedere.metrics.workers.placing import FamilyPlacing, Placing
from belvedere.metrics.workers.registries import collectors, shared_names
from belvedere.metrics.workers.segment import Segment, lines
from belvedere.metrics.workers.service import Parent
from belvedere.metrics.workers.sources import Exemplars, Keys
from belvedere.metrics.workers.termination import Termination
from belvedere.metrics.workers.view import RETIRED, Reading, Records, View


class Application(Protocol):
    """What an application of this process shows. `owner` names it, alike in every worker, unlike any other."""

    @property
    def owner(self) -> str: ...

    @property
    def families(self) -> Sequence[Family]: ...

    @property
    def registries(self) -> Sequence[Any]: ...

    def look_up_again(self) -> None:
        """Forget where cells of series lie."""


class Membership:
    """One worker, from when it joins to when it leaves.

    Its methods are called by one thread at a time.

    Args:
        folder: where the workers of the service meet.
        parent: the process that started them.
        on_told: called in the handler of each signal that tells this process to stop.

    Raises:
        OSError: there is no room in the folder, or no right to write.
    """

    def __init__(self, folder: Path, parent: Parent, on_told: Callable[[], None]) -> None:
        self.pid = os.getpid()
        self._name = f"{self.pid}-{time.time_ns():x}"
        self._parent = parent
        self._folder = Folder(folder)
        with self._folder.locked():
            # Whoever died since somebody last looked is folded now.
            self._segment = self._enter(alone=not self._folder.workers())
        self._placing = Placing(self._segment)
        self._homes: dict[str, FamilyPlacing] = {}
        self._views: dict[str, View] = {}
        self._applications: dict[str, Application] = {}
        self._served: dict[str, set[str]] = {}
        self._exemplars: Exemplars = []
        self._mirrors = Mirrors(FamilyPlacing(self._placing, ""))
        self._termination = Termination(on_told)
        self._termination.watch()
        values.put(self._placing)

    @property
    def folder(self) -> Path:
        return self._folder.path

    @property
    def owners(self) -> set[str]:
        """The applications that siblings see."""
        return set(self._applications)

    def add(self, application: Application) -> None:
        """Have siblings see what an application counts; nothing, if they do already."""
        owner = application.owner
        if owner in self._applications:
            return
        self._applications[owner] = application
        self._views[owner] = View(owner)
        self._homes[owner] = FamilyPlacing(self._placing, owner)
        _settle(application, self._homes[owner])
        for registry in application.registries:
            for collector in collectors(registry):
                values.exchange(collector)
        self.publish()

    def discard(self, application: Application) -> None:
        """Take an application out: what it has counted stays with the service, and it begins anew, for itself."""
        if self._applications.get(application.owner) is application:
            del self._applications[application.owner]
            home = self._homes.pop(application.owner)
            del self._views[application.owner]
            for family in application.families:
                if family.kind != "gauge":
                    home.leave_behind(family)
            _settle(application, None)

    def ask(self) -> None:
        """Bring gauges up to date that take their value from a function.

        By any number of threads: such a function may take as long as it likes, and keeps nobody from leaving.
        """
        values.functions(self._collectors())

    def publish(self) -> None:
        """Tell siblings all that does not tell itself by being counted."""
        self._mirrors.update(self._collectors())
        try:
            self._placing.flush()
            for owner, application in list(self._applications.items()):
                served = self._served.setdefault(owner, set())
                if added := sorted(self._served_by(application) - served):
                    self._placing.tell(records.serves(owner, added))
                    served.update(added)
            self._publish_exemplars()
        except OSError as error:
            failures.contain("metrics", error)

    def families(self, application: Application) -> list[MergedFamily]:
        """Return the families of an application over all workers, as they are now.

        Raises:
            OSError: the folder cannot be read.
        """
        self.publish()
        view = self._views[application.owner]
        with self._folder.locked():
            readings = self._read()
            view.learn(readings)
        return view.totals([reading for reading, _ in readings], self._served_by(application))

    def leave(self, *, removed: bool) -> None:
        """Leave what was counted to those who stay; the last one of a service that ends leaves nothing.

        Args:
            removed: whether this worker goes on unobserved, so that no other is started in its place.
        """
        values.put(None)
        self._mirrors.close()
        try:
            with self._folder.locked():
                workers = self._folder.workers()
                leads = self._parent.pid == self.pid
                told = removed or self._termination.told
                ends = len(workers) <= 1 and (leads or told or not self._parent.alive)
                if not ends:
                    self._folder.fold([worker for worker in workers if worker.name == self._name])
                self._folder.close(remove=ends)
        except OSError as error:
            failures.contain("metrics", error)
        self._termination.leave()
        self._let_go(keep=False)

    def forsake(self) -> None:
        """Let go in a child that was forked: the files are its parent's, and what it counts is its own."""
        values.put(None)
        self._let_go(keep=True)

    def _let_go(self, *, keep: bool) -> None:
        if keep:
            # Another thread of the parent may have held the lock as it forked.
            self._segment.leave()
            self._segment.close()
        else:
            self._placing.leave()
        for application in list(self._applications.values()):
            if not keep:
                # It was left to the others, who go on from there.
                for family in application.families:
                    family.reset()
            _settle(application, None)
        self._applications.clear()

    def _collectors(self) -> set[Any]:
        served = list(self._applications.values())
        return {
            collector
            for application in served
            for registry in application.registries
            for collector in collectors(registry)
        }

    def _publish_exemplars(self) -> None:
        exemplars = self._placing.exemplars_now()
        for owner, application in list(self._applications.items()):
            for family in application.families:
                if family.kind == "histogram":
                    exemplars += self._homes[owner].exemplars(family)
        # What is no number has no form in an exemplar that every reader takes.
        exemplars = [exemplar for exemplar in exemplars if isfinite(exemplar[2])]
        if exemplars != self._exemplars:
            begun = self.folder / f".{self._name}.exemplars"
            begun.write_bytes(lines([exemplars]))
            begun.replace(self.folder / f"{self._name}.exemplars")
            self._exemplars = exemplars

    def _enter(self, *, alone: bool) -> Segment:
        """Put files of this worker beside those of its siblings.

        Where siblings found room and there is none now, this one counts in its memory what goes beyond: elsewhere it
        would be lost to them altogether.
        """
        segment = None
        try:
            segment = Segment(self.folder, self._name)
            segment.reserve()
        except OSError as error:
            if segment is None or alone:
                self._folder.remove(self._name)
                self._folder.close(remove=alone)
                raise
            failures.contain("metrics", error)
        return segment

    def _served_by(self, application: Application) -> set[str]:
        """Return the names of the process's metrics that an application serves."""
        names = (shared_names(registry, self._mirrors.names) for registry in application.registries)
        return {name for some in names for name in some}

    def _read(self) -> list[tuple[Reading, Records]]:
        """Copy what every worker has counted, and those that are gone."""
        readings: list[tuple[Reading, Records]] = [
            (Reading(worker.name, worker.pid, None, worker.values(), worker.exemplars()), Keys(worker.keys_path))
            for worker in self._folder.workers()
        ]
        retired = self._folder.retired
        readings.append((Reading(RETIRED, "", retired.keys_end, retired.values(), []), Keys(retired.keys_path)))
        memory = self._placing.memory
        if memory.records:
            own = Reading(f"{self._name}+", str(self.pid), None, memory.values(), [])
            readings.append((own, MemoryKeys(memory)))
        if all(reading.name != self._name for reading, _ in readings):
            # Somebody has removed our files: what they had in memory is there.
            own = Reading(self._name, str(self.pid), None, self._segment.values(), self._exemplars)
            readings.append((own, Keys(self._segment.keys_path)))
        return readings


def _settle(application: Application, home: FamilyPlacing | None) -> None:
    for family in application.families:
        family.settle(home)
    application.look_up_again()
