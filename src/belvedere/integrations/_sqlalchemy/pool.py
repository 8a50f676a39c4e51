"""How many connections of an engine's pool are in use, and how many wait."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from belvedere.conventions import DATABASE_ACTIVE, DATABASE_IDLE
from belvedere.parts import Host

if TYPE_CHECKING:
    from sqlalchemy import Engine

_lock = threading.RLock()
_shown: WeakKeyDictionary[Any, dict[int, set[Any]]] = WeakKeyDictionary()
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
        self._used: set[Any] = set()
        self._listeners: dict[str, Callable[..., None]] = {
            "connect": self._connect,
            "checkout": self._checkout,
            "checkin": self._checkin,
            "close": self._close,
            "detach": self._close,
        }
        metrics = [DATABASE_ACTIVE, DATABASE_IDLE]
        self._active, self._idle = [
            host.metric("gauge", metric.name, metric.help, metric.labels, combine="sum") for metric in metrics
        ]

    def details(self) -> dict[str, Any]:
        """Return what the health check tells."""
        size = getattr(self._engine.pool, "size", None)
        size = size() if callable(size) else size
        return {"pool_size": len(self._open) if size is None else size, "connections_in_use": len(self._used)}

    def listen(self) -> None:
        from sqlalchemy import event

        for name, listener in self._listeners.items():
            event.listen(self._engine, name, listener)
        event.listen(self._engine, "engine_disposed", self._disposed)
        self._tell()

    def forget(self) -> None:
        from sqlalchemy import event

        for name, listener in self._listeners.items():
            event.remove(self._engine, name, listener)
        event.remove(self._engine, "engine_disposed", self._disposed)
        self._open.clear()
        self._used.clear()
        self._tell()

    # A record stands for a connection, and outlives it: the pool connects it anew.

    def _connect(self, _connection: Any, record: Any) -> None:
        self._open.add(record)
        self._tell()

    def _checkout(self, _connection: Any, record: Any, _proxy: Any) -> None:
        # One that was opened before this part was there is known from now on.
        self._open.add(record)
        self._used.add(record)
        self._tell()

    def _checkin(self, _connection: Any, record: Any) -> None:
        self._used.discard(record)
        self._tell()

    def _close(self, _connection: Any, record: Any) -> None:
        self._open.discard(record)
        self._used.discard(record)
        self._tell()

    def _disposed(self, _engine: Any) -> None:
        # After a fork, connections are left to the parent without being closed.
        self._open &= self._used
        self._tell()

    def _tell(self) -> None:
        with _lock:
            active, either = self._total(self._active, self._used), self._total(self._idle, self._open)
            self._active.set(active)
            self._idle.set(either - active)

    def _total(self, gauge: Any, own: set[Any]) -> int:
        """Return how many connections a gauge shows, of all parts that share it."""
        parts = _shown.setdefault(gauge, {})
        if own:
            parts[id(self)] = own
        else:
            parts.pop(id(self), None)
        return len(own) if len(parts) == (1 if own else 0) else len(set().union(*parts.values()))
