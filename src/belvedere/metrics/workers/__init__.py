"""Several workers, one service: whichever answers a scrape shows them all."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from belvedere import failures
from belvedere.metrics.workers.folder import sweep
from belvedere.metrics.workers.membership import Application, Membership
from belvedere.metrics.workers.merged import MergedFamily
from belvedere.metrics.workers.registries import Unshared
from belvedere.metrics.workers.service import Parent, folder_name, lead, parent, places
from belvedere.metrics.workers.values import exchange, owned_by

__all__ = ["Unshared", "Workers", "exchange", "lead", "owned_by", "workers"]


class Workers:
    """Whether this process is one of several workers, and then its membership."""

    def __init__(self) -> None:
        self.membership: Membership | None = None
        self._hooked = False
        self._running: set[str] = set()
        # Scrapes and what is told between them come from several threads.
        self._lock = threading.Lock()

    @property
    def folder(self) -> Path | None:
        """Where the workers of this service meet; `None` for a process that is alone."""
        member = self._here()
        return None if member is None else member.folder

    def join(self, application: Application, service: str, routes: Iterable[object]) -> str:
        """Have an application count where the other workers see it; return how its metrics are shared.

        A process that is alone joins nobody. Without a place to write, each worker shows itself.

        Args:
            application: whose metrics they are.
            service: its name.
            routes: its routes: with the name and the parent process, what tells services apart.
        """
        try:
            member = self._here() or self._member(parent(), service, routes)
        except Exception as error:  # it is served all the same
            failures.contain("metrics", error)
            return "each worker by itself"
        if member is None:
            return "each worker by itself: no place to write" if parent() is not None else ""
        with self._lock:
            if self.membership is not member:
                return "each worker by itself: it was told to stop"
            member.add(application)
        return f"all workers together, in {member.folder.parent}"

    def runs(self, application: Application) -> None:
        """Note that an application's lifespan has begun: the end of the last one ends the membership."""
        self._running.add(application.owner)

    def leave(self, application: Application) -> None:
        """Leave what was counted to the others, as an application's lifespan ends, if it is the last that runs.

        An application that is mounted in another has no lifespan of its own, and ends with that.
        """
        member = self._here()
        self._running.discard(application.owner)
        if member is not None and not self._running:
            self._end(member, removed=False)

    def discard(self, application: Application) -> None:
        """Take an application out that is no longer observed; the last one takes the process with it."""
        member = self._here()
        self._running.discard(application.owner)
        if member is None:
            return
        if member.owners <= {application.owner}:
            self._end(member, removed=True)
        else:
            with self._lock:
                member.discard(application)

    def families(self, application: Application) -> list[MergedFamily] | None:
        """Return an application's families over all workers; `None` for a process that is alone."""
        member = self._here()
        if member is None:
            return None
        member.ask()
        with self._lock:
            return member.families(application) if application.owner in member.owners else None

    def publish(self) -> None:
        """Tell the other workers what does not tell itself by being counted."""
        member = self._here()
        if member is not None:
            member.ask()
            with self._lock:
                member.publish()

    def _end(self, member: Membership, *, removed: bool) -> None:
        with self._lock:
            if self.membership is member:
                self.membership = None
                member.leave(removed=removed)

    def _told(self) -> None:
        """Leave at once where no end of a lifespan will say that it is time, not even of one that is just beginning."""
        member = self._here()
        if member is not None and not self._running:
            # Not here: the thread that the signal interrupts may hold the lock.
            threading.Thread(target=lambda: self._end(member, removed=False), name="belvedere-leave").start()

    def _here(self) -> Membership | None:
        member = self.membership
        return member if member is not None and member.pid == os.getpid() else None

    def _member(self, started_by: Parent | None, service: str, routes: Iterable[object]) -> Membership | None:
        if started_by is None:
            return None
        name = folder_name(started_by, service, routes)
        for place in places(name):
            try:
                sweep(place, name)
                self.membership = Membership(place / name, started_by, self._told)
            except OSError:
                with suppress(OSError):
                    place.rmdir()  # nobody else is there either
                continue
            if not self._hooked:
                os.register_at_fork(after_in_child=self._forked)
                self._hooked = True
            return self.membership
        return None

    def _forked(self) -> None:
        # Whoever held it is not here.
        self._lock = threading.Lock()
        self._running.clear()
        if self.membership is not None:
            self.membership.forsake()
            self.membership = None


workers: Final = Workers()
"""Of this process."""
