"""Counts, times, traces and comments the statements of an engine.

What a statement is, is found out once for each compiled statement: SQLAlchemy keeps a bounded number of those, and what
is known of one goes with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from sqlalchemy import event

from belvedere import context, failures
from belvedere.conventions import (
    DATABASE_QUERIES,
    DATABASE_QUERY_DURATION,
    DATABASE_SLOW_QUERIES,
    OPERATION_BUCKETS,
    OTHER,
    OWN_LOGGER,
    OWN_STATEMENT,
    IntegrationEvent,
)
from belvedere.integrations._sqlalchemy.statements import of_compiled, of_text, without_literals
from belvedere.integrations.spans import ClientSpans
from belvedere.parts import Host

if TYPE_CHECKING:
    from sqlalchemy import Engine

FEATURE = "sqlalchemy"
TEXT = 4000
"""Characters of a statement that a log line or a span shows at most."""
_TRACED = "_belvedere_span"
"""Where a statement that is being executed keeps its one span."""
_SYSTEMS = {"mssql": "microsoft.sql_server", "oracle": "oracle.db"}
_INSTRUMENTATION = ("opentelemetry.instrumentation.sqlalchemy", "SQLAlchemyInstrumentor")


@dataclass(slots=True)
class Known:
    """What is known of a statement, and the cells that it is counted in."""

    operation: str
    table: str
    count: Callable[[], None]
    observe: Callable[[float], None]
    text: str | None = None
    """How it is shown, once it has been."""


class Queries:
    """Listens to an engine's cursors.

    Args:
        engine: whose statements are counted.
        host: has metrics, logger and provider.
        name: of the check, which slow queries are told with.
        slow: seconds from which on a statement is slow.
        comment: whether statements carry the request id.
    """

    def __init__(self, engine: Engine, host: Host, name: str, *, slow: float | None, comment: bool) -> None:
        counter, duration, slow_ones = DATABASE_QUERIES, DATABASE_QUERY_DURATION, DATABASE_SLOW_QUERIES
        self._engine = engine
        self._name = name
        self._count = host.metric("counter", counter.name, counter.help, counter.labels)
        self._duration = host.metric(
            "histogram", duration.name, duration.help, duration.labels, buckets=OPERATION_BUCKETS
        )
        self._slow_count = host.metric("counter", slow_ones.name, slow_ones.help, slow_ones.labels)
        self._log = host.logger(OWN_LOGGER) if host.settings.logs is not None else None
        self._slow = float("inf") if slow is None else slow
        self._comment = comment
        self._known: WeakKeyDictionary[Any, Known] = WeakKeyDictionary()
        # Several parts may listen to one engine: the first counts for an application, and makes the span for all.
        self._mark = f"_belvedere_{id(host):x}"
        url = engine.url
        system = engine.dialect.name
        where = {"db.namespace": url.database, "server.address": url.host, "server.port": url.port}
        self._spans = ClientSpans(
            host,
            _INSTRUMENTATION,
            {"db.system.name": _SYSTEMS.get(system, system)} | {key: value for key, value in where.items() if value},
        )
        self._clock = time.perf_counter

    def listen(self) -> None:
        event.listen(self._engine, "before_cursor_execute", self._before, retval=True)
        event.listen(self._engine, "after_cursor_execute", self._after)
        event.listen(self._engine, "handle_error", self._failed)

    def forget(self) -> None:
        event.remove(self._engine, "before_cursor_execute", self._before)
        event.remove(self._engine, "after_cursor_execute", self._after)
        event.remove(self._engine, "handle_error", self._failed)

    def _before(self, _c: Any, _cursor: Any, statement: str, parameters: Any, running: Any, _many: bool) -> Any:
        if running is None or OWN_STATEMENT in running.execution_options:
            return statement, parameters
        try:
            kept = running.__dict__
            if self._mark not in kept:
                span = None
                if self._spans.tracer is not None and _TRACED not in kept:
                    span = kept[_TRACED] = self._begun(running, statement)
                kept[self._mark] = (self._clock(), span)
            if self._comment:
                statement = _commented(statement)
        except Exception as error:
            failures.contain(FEATURE, error)
        return statement, parameters

    def _after(self, _c: Any, _cursor: Any, statement: str, _parameters: Any, running: Any, _many: bool) -> None:
        if running is not None and self._mark in running.__dict__:
            self._finished(running, statement, None)

    def _failed(self, failure: Any) -> None:
        running = failure.execution_context
        if running is not None and self._mark in running.__dict__:
            self._finished(running, failure.statement or "", failure.original_exception)

    def _finished(self, running: Any, statement: str, error: BaseException | None) -> None:
        try:
            # What fails afterwards, such as fetching, is no second statement.
            began, span = running.__dict__.pop(self._mark)
            seconds = self._clock() - began
            known = self._look_up(running.compiled, statement)
            known.count()
            known.observe(seconds)
            if seconds >= self._slow:
                self._slow_query(known, running, statement, seconds)
            if span is not None:
                running.__dict__.pop(_TRACED, None)
                self._spans.end(span, error)
        except Exception as own:
            failures.contain(FEATURE, own)

    def _look_up(self, compiled: Any, statement: str) -> Known:
        if compiled is None:
            return self._make(of_text(statement), OTHER)
        known = self._known.get(compiled)
        if known is None:
            try:
                known = self._make(*of_compiled(compiled))
            except Exception as error:  # a construct of somebody's own
                failures.contain(FEATURE, error)
                known = self._make(of_text(statement), OTHER)
            self._known[compiled] = known
        return known

    def _make(self, operation: str, table: str) -> Known:
        count = self._count.labels(operation, table).inc
        return Known(operation, table, count, self._duration.labels(operation, table).observe)

    def _slow_query(self, known: Known, running: Any, statement: str, seconds: float) -> None:
        self._slow_count.labels(known.operation, known.table).inc()
        if self._log is not None:
            self._log.warning(
                IntegrationEvent.SLOW_QUERY,
                database=self._name,
                operation=known.operation,
                table=known.table,
                latency_ms=round(seconds * 1000, 2),
                statement=_text(known, running, statement),
            )

    def _begun(self, running: Any, statement: str) -> Any:
        known = self._look_up(running.compiled, statement)
        attributes = {"db.operation.name": known.operation, "db.query.text": _text(known, running, statement)}
        name = known.operation
        if known.table != OTHER:
            attributes["db.collection.name"] = known.table
            name = f"{name} {known.table}"
        return self._spans.begin(name, attributes)


def _text(known: Known, running: Any, statement: str) -> str:
    if running.compiled is None:
        return without_literals(statement[:TEXT])
    if known.text is None:
        # The compiled form has places where some drivers get values, such as those of an IN.
        known.text = without_literals(str(running.compiled)[:TEXT])
    return known.text


def _commented(statement: str) -> str:
    """Add the request id, whose characters neither end a comment nor mean anything to a driver."""
    request_id = context.request_id()
    if request_id is None or not context.valid_id(request_id.encode("ascii", "replace")):
        return statement
    comment = f" /*request_id='{request_id}'*/"
    return statement if statement.endswith(comment) else statement + comment
