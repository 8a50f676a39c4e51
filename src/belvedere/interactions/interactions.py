"""`Interactions`: who did what, and how it was answered, as rows of a database."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncEngine

from belvedere import failures
from belvedere.context import current
from belvedere.conventions import OWN_LOGGER
from belvedere.interactions import bounds, by_hand
from belvedere.interactions.compact import NUMBER, TEXT
from belvedere.interactions.delivery import Delivery
from belvedere.interactions.figures import Figures, NoFigures, Tally
from belvedere.interactions.journal import Journal
from belvedere.interactions.losses import Losses
from belvedere.interactions.marker import Mark, Marks, dependency
from belvedere.interactions.metadata import Sanitiser
from belvedere.interactions.place import hindrance, journal_folder, name, own, share
from belvedere.interactions.query import Page
from belvedere.interactions.recorder import Append, Notes, Recorder
from belvedere.interactions.retention import Retention
from belvedere.interactions.store import Store
from belvedere.interactions.summary import Bucket, Row
from belvedere.parts import Host
from belvedere.redaction import Redactor


class Interactions:
    """A part that records requests: one row for each that a marked route answered, whatever the answer.

    The row is on its way in a journal before the answer is complete, and stays there until the database has it.

        interactions = Interactions(engine, subject="scholarship_id", subject_type=int)

        @app.get("/scholarships/{id}", dependencies=[interactions.record("view_scholarship", subject="id")])
        ...
        belvedere.observe(app, interactions)

    Args:
        engine: of the database; it connects on the loop that serves, and may be the application's own.
        table: the table's name.
        subject: the name of the column for what an interaction is about.
        subject_type: `str` or `int`.
        schema: where the table lies, if not in the default schema.
        metadata: what the table becomes part of.
        journal: the folder in which events wait (those of another table there: one below); `True` is one below
            `$XDG_STATE_HOME`, by database and table; `None` or `False` keeps them in memory.
        fsync: whether each event is on the disk, and not only in the system's cache, before its request is answered.
        retention: how long rows are kept, as a `timedelta` or in days; `None`: for ever.
        shutdown: seconds that a stopping application may take to deliver what waits.
        memory: events that wait in memory, where there is no journal.
        journal_bytes: the bound on the journal's size.

    Raises:
        TypeError, ValueError: saying which argument is wrong and what it should be.
    """

    feature = "interactions"

    def __init__(
        self,
        engine: AsyncEngine,
        table: str = "interactions",
        subject: str = "subject",
        *,
        subject_type: type = str,
        schema: str | None = None,
        metadata: MetaData | None = None,
        journal: str | Path | bool | None = True,
        fsync: bool = False,
        retention: timedelta | float | None = None,
        shutdown: float = 5.0,
        memory: int = 10_000,
        journal_bytes: int = 1 << 30,
    ) -> None:
        if not isinstance(engine, AsyncEngine):
            raise TypeError(f"interactions: {type(engine).__name__} is no AsyncEngine: use create_async_engine")
        bounds.check(journal=journal, memory=memory, journal_bytes=journal_bytes, shutdown=shutdown)
        self._engine = engine
        self._store = Store(engine, table, subject, subject_type, schema=schema, metadata=metadata)
        self.table = self._store.table
        """The table, for queries of your own."""
        self._subject_type = subject_type
        self._shutdown = shutdown
        self._place = name(engine.url, self.table)
        self._folder, self._why = journal_folder(engine.url, self.table, journal)
        self._given = journal is not True
        self._journal = Journal(self._folder, fsync=fsync, limit_bytes=journal_bytes, memory=memory)
        self._tally = Tally()
        self._losses = Losses(self._log)
        self._delivery = Delivery(
            self._journal,
            self._store,
            self._tally,
            self._log,
            on_tick=self._on_tick,
            on_disk=self._folder is not None,
        )
        self._retention = Retention(self._store, retention, self._folder, self._log)
        self._marks = Marks(self, NUMBER if subject_type is int else TEXT)
        self._recorders: list[Recorder] = []
        self._installed = 0
        self._running = 0
        self._opened = False
        self._logger: Any = None
        self._by_hand = self._recorder(Redactor(personal=True), NoFigures())
        share(self, self._folder, self._place)

    def record(self, event: str, subject: str | None = None) -> Any:
        """Return a dependency that marks a route (or all routes of a router or an application): for `dependencies=`.

        Where a route is marked more than once, the nearest mark counts: a parameter's before the route's, then the
        routers' from the inside, then the application's.

        Args:
            event: what the row's `event_type` says.
            subject: the parameter of the path that the row's subject is taken from.

        Raises:
            ValueError: there is no name in it.
        """
        if type(event) is not str or not event:
            raise ValueError(f"interactions: an event needs a name, such as record('view_item'), not {event!r}")
        if subject is not None and (type(subject) is not str or not subject):
            raise ValueError(f"interactions: a subject is the name of a parameter of the path, not {subject!r}")
        return dependency(Mark(self, event, subject))

    def add(self, /, **fields: Any) -> None:
        """Add fields to the metadata of this request's row, until its answer is complete; elsewhere, do nothing."""
        if (notes := self._notes()) is not None:
            notes.fields.update(fields)

    def about(self, subject: Any) -> None:
        """Say what this request's row is about, where its path does not: something that it has made."""
        if (notes := self._notes()) is not None:
            notes.subject = subject

    async def log(
        self,
        event: str,
        request: Any = None,
        response: Any = None,
        *,
        user_id: Any = None,
        subject: Any = None,
        metadata: Mapping[str, Any] | None = None,
        trace_id: str | None = None,
    ) -> None:
        """Record a row by hand, in a request or outside of one; never raises.

        What is not given is taken from the request that is being served. Outside of one, path and method are empty and
        the status is 0.

        Args:
            event: what happened.
            request: a Starlette request.
            response: a Starlette response.
            user_id: who did it.
            subject: what it is about.
            metadata: what else is worth knowing; sanitised.
            trace_id: under which it is found in logs and traces.
        """
        try:
            recorder = self._recorders[0] if self._recorders else self._by_hand
            recorder.record(
                **by_hand.event(event, request, response, user_id=user_id, trace_id=trace_id),
                subject=subject,
                metadata=metadata,
            )
        except Exception as error:
            failures.contain("interactions", error)

    async def create_table(self) -> None:
        """Make the table and its indexes, and leave them as they are where they are there."""
        await self._store.create()

    async def query(
        self,
        *,
        event: str | None = None,
        user: str | None = None,
        subject: str | int | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> Page:
        """Return a page of rows, the newest first: `items`, and `next`, which goes into `after` for the next page.

        Args:
            event: of this type alone.
            user: of this user alone.
            subject: about this alone.
            since: the first moment; UTC where it names no time zone.
            until: the first moment after.
            limit: rows of a page.
            after: the `next` of the page before.

        Raises:
            ValueError: a limit, cursor or moment that is none, or a subject that is no number where subjects are.
            Unavailable: the database is away.
        """
        return await self._store.query(
            event=event, user=user, subject=subject, since=since, until=until, limit=limit, after=after
        )

    async def summary(
        self,
        *,
        event: str | None = None,
        user: str | None = None,
        subject: str | int | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        bucket: Bucket | None = None,
    ) -> list[Row]:
        """Return how often each event happened, in each stretch of time if `bucket` says how long one is, in UTC.

        The other arguments, and what it raises, are those of `query`.
        """
        return await self._store.summary(
            event=event, user=user, subject=subject, since=since, until=until, bucket=bucket
        )

    async def prune(self, retention: timedelta | float | None = None) -> int:
        """Delete rows older than `retention` (a `timedelta` or days; else as given before), in pieces; return how many.

        Raises:
            ValueError: there is no retention, or it keeps nothing.
        """
        return await self._retention.prune(retention)

    async def flush(self, timeout: float | None = 10.0) -> bool:
        """Deliver what waits; return whether all that this process has recorded so far is in the database.

        What dead workers left in the journal comes along.

        Args:
            timeout: seconds after which it gives up; what waits stays in the journal. `None`: never.
        """
        self._open()
        if await asyncio.to_thread(self._journal.adopt):
            self._delivery.adopted += 1
        return await self._delivered(timeout)

    async def _delivered(self, timeout: float | None) -> bool:
        """Deliver what waits here; return whether all of it is in the database."""
        if not await self._delivery.caught_up(timeout):
            return False
        self._refresh()
        return True

    @property
    def why(self) -> str:
        """What the report says: which table, and where events wait for it."""
        where, away = self._why, None
        if self._folder is not None:
            where = f"journal in {self._folder}"
            if not self._opened:
                away = hindrance(self._folder)
            elif self._journal.state == "memory":
                away = self._journal.why
        if away:
            where = f"journal in memory, as {self._folder} cannot be used: {away}"
        kept = f"; rows kept for {self._retention.period}" if self._retention.period else ""
        return f"table {self.table.fullname}; {where}{kept}"

    def install(self, host: Host) -> None:
        """Record what the application's marked routes answer from now on."""
        logs = host.settings.logs
        recorder = self._recorder(Redactor.after(host.settings, personal=True), Figures(host, self._tally))
        self._recorders.append(recorder)
        self._installed += 1
        if self._logger is None and logs is not None:
            self._logger = host.logger(OWN_LOGGER)
        host.closer(recorder)
        host.on_start(self._start)
        host.on_stop(self._stop)

    def uninstall(self) -> None:
        """Record no more; what waits stays in the journal's files, if it has any, for whoever begins next."""
        self._installed -= 1
        if self._installed > 0:
            return  # The application that it leaves has requests no longer; the others have.
        for recorder in self._recorders:
            recorder.active = False
        self._running = 0
        self._delivery.abandon()
        self._retention.abandon()
        self._close()
        for recorder in self._recorders:
            recorder.figures.remove()
        self._recorders.clear()
        self._marks.restore()
        self._logger = None

    def _recorder(self, redactor: Redactor, figures: Figures) -> Recorder:
        return Recorder(
            self._marks,
            Sanitiser(redactor),
            figures,
            owner=self,
            append=self._journal.append if self._opened else self._append_first,
            wake=self._delivery.wake,
            subject_type=self._subject_type,
        )

    async def _start(self) -> None:
        self._running += 1
        self._open()
        self._delivery.tell_state()
        await self._store.begin()
        self._delivery.wake()

    async def _stop(self) -> None:
        self._running = max(0, self._running - 1)
        await self._delivered(self._shutdown)
        if not self._running:
            self._retention.abandon()
            await self._delivery.stop()
            self._close()

    def _open(self) -> None:
        if not self._opened:
            self._opened = True
            if self._folder is not None and self._given:
                self._folder = self._retention.folder = own(self._folder, self._engine.url, self.table)
                self._journal.lie_in(self._folder)
            self._journal.open()
            self._append_by(self._journal.append)

    def _close(self) -> None:
        if self._opened:
            self._opened = False
            self._append_by(self._append_first)
            self._journal.close()
            self._refresh()
            self._losses.tell(self._tally.dropped, at_once=True)

    def _append_by(self, append: Append) -> None:
        """Have recorders call the journal itself while it is open: a step less for each request."""
        for recorder in (*self._recorders, self._by_hand):
            recorder.append = append

    def _append_first(self, event: bytes, now: float | None = None) -> bool:
        self._open()
        return self._journal.append(event, now)

    def _on_tick(self) -> None:
        self._refresh()
        self._losses.tell(self._tally.dropped)
        self._retention.look()

    def _refresh(self) -> None:
        self._delivery.refresh()
        for recorder in self._recorders:
            recorder.figures.refresh()

    def _log(self, level: str, event: str, **fields: Any) -> None:
        if self._logger is not None:
            getattr(self._logger, level)(event, table=self.table.fullname, **fields)

    def _notes(self) -> Notes | None:
        request: Any = current.get()
        try:
            notes = request.notes
            if request.websocket or not request.unclosed:
                return None  # Nobody records here, or has done so.
        except AttributeError:
            return None  # There is no request.
        if notes is None:
            request.notes = notes = {}
        found: Notes | None = notes.get(self)
        if found is None:
            notes[self] = found = Notes()
        return found
