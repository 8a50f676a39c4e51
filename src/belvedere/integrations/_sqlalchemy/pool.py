"""How many connections of an engine's pool are in use, and how many wait."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from sqlalchemy.pool import AssertionPool, NullPool, StaticPool

from belvedere.conventions import DATABASE_ACTIVE, DATABASE_IDLE
from belvedere.parts import Host

if TYPE_CHECKING:
    from sqlalchemy import Engine

_lock = threading.RLock()
_shown: WeakKeyDictionary[Any, dict[int, Collection[Any]]] = WeakKeyDictionary()
"""The connections that each part adds to a gauge: several engines of one application are shown together, and what two
parts know of one engine once."""


class Pool:
    """Counts by the pool's own events, so that all of its kinds are counted alike and a scrape asks nothing.

    Args:
        engine: whose pool it is; one that takes its place by `dispose()` is counted as well.
        host: has the gauges.
    """

    def __init__(self, engine: Engine, host: Host) -> None:
        self._engine = engine
        self._open: set[Any] = set()
        self._used: dict[Any, int] = {}
        """How often each connection is checked out: some pools give one to several at once."""
        self._left: set[Any] = set()
        """What is in use and belongs to a pool that is gone."""
        self._listeners: dict[str, Callable[..., None]] = {
            "connect": self._connect,
            "checkout": self._checkout,
            "checkin": self._checkin,
            "close": self._close,
            "detach": self._close,
        }
        # The one connection of such a pool is checked out by many, and checked in by the first of them alone.
        self._shares = isinstance(engine.pool, StaticPool)
        if self._shares:
            self._listeners["reset"] = self._reset
        metrics = [DATABASE_ACTIVE, DATABASE_IDLE]
        self._active, self._idle = [
            host.metric("gauge", metric.name, metric.help, metric.labels, combine="sum") for metric in metrics
        ]

    def details(self) -> dict[str, Any]:
        """Return what the health check tells."""
        size = pool_size(self._engine.pool)
        return ({} if size is None else {"pool_size": size}) | {"connections_in_use": len(self._used)}

    def listen(self) -> None:
        from sqlalchemy import event

        for name, listener in self._listeners.items():
            event.listen(self._engine, name, listener)
        event.listen(self._engine, "engine_disposed", self._disposed)
        with _lock:
            self._tell()

    def forget(self) -> None:
        from sqlalchemy import event

        for name, listener in self._listeners.items():
            event.remove(self._engine, name, listener)
        event.remove(self._engine, "engine_disposed", self._disposed)
        self.abandon()

    def abandon(self) -> None:
        """Know of no connection any more: this part leaves, or this process was forked from the one that has them."""
        with _lock:
            self._open.clear()
            self._used.clear()
            self._left.clear()
            self._tell()

    # A record stands for a connection, and outlives it: the pool connects it anew.

    def _connect(self, _connection: Any, record: Any) -> None:
        with _lock:
            self._open.add(record)
            self._tell()

    def _checkout(self, _connection: Any, record: Any, _proxy: Any) -> None:
        with _lock:
            # One that was opened before this part was there is known from now on.
            self._open.add(record)
            self._used[record] = self._used.get(record, 0) + 1
            self._tell()

    def _checkin(self, connection: Any, record: Any) -> None:
        with _lock:
            if connection is not None and record not in self._left:
                self._open.add(record)
            if not self._shares:
                self._returned(record)
            self._tell()

    def _reset(self, _connection: Any, record: Any, _state: Any) -> None:
        with _lock:
            self._returned(record)
            self._tell()

    def _returned(self, record: Any) -> None:
        times = self._used.pop(record, 1) - 1
        if times:
            self._used[record] = times
        elif record in self._left:
            # Nobody can check it out again.
            self._left.discard(record)
            self._open.discard(record)

    def _close(self, _connection: Any, record: Any) -> None:
        with _lock:
            self._open.discard(record)
            self._left.discard(record)
            self._used.pop(record, None)
            self._tell()

    def _disposed(self, _engine: Any) -> None:
        with _lock:
            # Connections that are in use, or were left to the parent of a fork, are not closed by this.
            self._open.intersection_update(self._used)
            self._left.update(self._used)
            self._tell()

    def _tell(self) -> None:
        active, either = self._total(self._active, self._used), self._total(self._idle, self._open)
        self._active.set(active)
        self._idle.set(either - active)

    def _total(self, gauge: Any, own: Collection[Any]) -> int:
        """Return how many connections a gauge shows, of all parts that share it."""
        parts = _shown.setdefault(gauge, {})
        if own:
            parts[id(self)] = own
        else:
            parts.pop(id(self), None)
        return len(own) if len(parts) == (1 if own else 0) else len(set().union(*parts.values()))


def pool_size(pool: Any) -> int | None:
    """Return how many connections a pool keeps, without those that overflow it; `None` of a kind that does not say."""
    if isinstance(pool, NullPool):
        return 0
    if isinstance(pool, StaticPool | AssertionPool):
        return 1
    size = getattr(pool, "size", None)
    size = size() if callable(size) else size
    return size if type(size) is int else None
