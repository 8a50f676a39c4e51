"""Several workers, one service: whichever answers a scrape shows them all."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from belvedere import failures
from belvedere.metrics.workers.folder import sweep
from belvedere.metrics.workers.membership import Application, Membership
from belvedere.metrics.workers.merged import MergedFamily
from belvedere.metrics.workers.registries import Unshared
from belvedere.metrics.workers.service import Parent, folder_name, parent, places
from belvedere.metrics.workers.values import exchange, owned_by

__all__ = ["Unshared", "Workers", "exchange", "owned_by", "workers"]


class Workers:
    """Whether this process is one of several workers, and then its membership."""

    def __init__(self) -> None:
        self.membership: Membership | None = None
        self._hooked = False
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
            member.add(application)
        return f"all workers together, in {member.folder.parent}"

    def leave(self, application: Application) -> None:
        """Take an application out; the last one takes the process with it."""
        member = self._here()
        if member is None:
            return
        with self._lock:
            if member.owners <= {application.owner}:
                member.leave()
                self.membership = None
            else:
                member.discard(application)

    def families(self, application: Application) -> list[MergedFamily] | None:
        """Return an application's families over all workers; `None` for a process that is alone."""
        member = self._here()
        if member is None:
            return None
        with self._lock:
            return member.families(application) if application.owner in member.owners else None

    def publish(self) -> None:
        """Tell the other workers what does not tell itself by being counted."""
        member = self._here()
        if member is not None:
            with self._lock:
                member.publish()

    def _here(self) -> Membership | None:
        member = self.membership
        return member if member is not None and member.pid == os.getpid() else None

    def _member(self, started_by: Parent | None, service: str, routes: Iterable[object]) -> Membership | None:
        if started_by is None:
            return None
        name = folder_name(started_by, service, routes)
        for place in places():
            try:
                sweep(place, name)
                self.membership = Membership(place / name, started_by)
            except OSError:
                continue
            if not self._hooked:
                os.register_at_fork(after_in_child=self._forked)
                self._hooked = True
            return self.membership
        return None

    def _forked(self) -> None:
        # Whoever held it is not here.
        self._lock = threading.Lock()
        if self.membership is not None:
            self.membership.forsake()
            self.membership = None


workers: Final = Workers()
"""Of this process."""
