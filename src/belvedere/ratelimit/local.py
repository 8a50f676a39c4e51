"""Counting in this process: the same strategies as the library's, in bounded memory.

The library's own store in memory keeps each key until its window is over, however many there are, and looks through
all of them again and again on the event loop. This one holds a number of keys and no more. Which keys go when it is
full is what matters: a client that makes up keys must not be able to wipe out what is held against another, or against
itself. So keys that have used less than half of their limit go first, those used longest ago before others; a key past
that goes only if the store holds nothing else. To push one of them out, a flood has to fill the whole store with keys
that have used half of their limits as well, within one window.
"""

from __future__ import annotations

import time
from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

from belvedere.ratelimit.policy import Decision, Policy
from belvedere.ratelimit.sliding import decision, weighted

MAX_KEYS = 100_000
"""Keys that are held at once; 47 to 49 MB, measured with a million hashed ones."""

TIMES_PER_KEY = 32
"""Requests that a moving window remembers (8 bytes each) for the memory of one key more."""


class Algorithm(Protocol):
    """How one key is counted; its cell is what is held of it."""

    def begin(self, now: float) -> Any:
        """Return the cell of a key that nobody has used."""

    def over(self, cell: Any, window: float, now: float) -> bool:
        """Whether a cell says no more than none would."""

    def take(self, cell: Any, amount: int, window: float, cost: int, now: float) -> Decision:
        """Take `cost` from what is left, or refuse and take nothing."""

    def spent(self, amount: int, window: float, reset: float, now: float) -> Any:
        """Return the cell of a key that has nothing left for so many seconds."""


class FixedWindow:
    """So many within a window that the first request begins. A cell is `[end, used]`."""

    def begin(self, now: float) -> list[float]:
        return [0.0, 0]

    def over(self, cell: list[float], window: float, now: float) -> bool:
        return now >= cell[0]

    def take(self, cell: list[float], amount: int, window: float, cost: int, now: float) -> Decision:
        end, used = cell
        if now >= end:
            cell[0] = end = now + window
            used = 0
        allowed = used + cost <= amount
        if allowed:
            used += cost
        cell[1] = used
        return Decision(allowed, amount - int(used), end - now)

    def spent(self, amount: int, window: float, reset: float, now: float) -> list[float]:
        return [now + reset, amount]


class MovingWindow:
    """So many within the seconds before each request. A cell is the times of those that passed, oldest first."""

    def begin(self, now: float) -> array[float]:
        return array("d")

    def over(self, cell: array[float], window: float, now: float) -> bool:
        return not cell or cell[-1] <= now - window

    def take(self, cell: array[float], amount: int, window: float, cost: int, now: float) -> Decision:
        gone = bisect_right(cell, now - window)
        if gone:
            del cell[:gone]
        used = len(cell)
        if used + cost <= amount:
            cell.extend((now,) * cost)
            return Decision(True, amount - used - cost, cell[0] + window - now if cell else 0.0)
        blocking = used + cost - amount - 1
        reset = cell[blocking] + window - now if blocking < used else window
        return Decision(False, amount - used, reset)

    def spent(self, amount: int, window: float, reset: float, now: float) -> array[float]:
        return array("d", (now + reset - window,)) * amount


class SlidingWindow:
    """The window before counts by the share of it that lies within the last `window` seconds.

    A cell is `[begin, used before, used now]`, its windows following each other from the first request on, as in the
    library's script for Redis.
    """

    def begin(self, now: float) -> list[float]:
        return [now, 0, 0]

    def over(self, cell: list[float], window: float, now: float) -> bool:
        return now >= cell[0] + 2 * window

    def take(self, cell: list[float], amount: int, window: float, cost: int, now: float) -> Decision:
        begin, before, used = cell
        if now >= begin + 2 * window:
            begin, before, used = now, 0, 0
        elif now >= begin + window:
            begin, before, used = begin + window, used, 0
        elapsed = now - begin
        allowed = weighted(before, used, window, elapsed) + cost <= amount
        if allowed:
            used += cost
        cell[:] = begin, before, used
        return decision(before, used, window, elapsed, amount=amount, refused=None if allowed else cost)

    def spent(self, amount: int, window: float, reset: float, now: float) -> list[float]:
        return [now + reset - window, 0, amount]


ALGORITHMS: dict[str, Callable[[], Algorithm]] = {
    "fixed-window": FixedWindow,
    "moving-window": MovingWindow,
    "sliding-window-counter": SlidingWindow,
}
"""By the library's names for its strategies."""


class Table:
    """The keys of all limits of one amount and window: those that have used less than half of it, and the others.

    The key used longest ago is the first of each.
    """

    __slots__ = ("fresh", "heavy")

    def __init__(self) -> None:
        self.fresh: OrderedDict[str, Any] = OrderedDict()
        self.heavy: OrderedDict[str, Any] = OrderedDict()


class LocalStore:
    """Counts requests by key in this process; other workers count for themselves.

    Args:
        strategy: the library's name of one.
        max_keys: how many keys are held at most.
        clock: seconds of a monotonic clock.
    """

    def __init__(self, strategy: str, max_keys: int = MAX_KEYS, clock: Callable[[], float] = time.monotonic) -> None:
        self._algorithm = ALGORITHMS[strategy]()
        self._remembers = isinstance(self._algorithm, MovingWindow)
        self._max = max_keys
        self._clock = clock
        self._tables: dict[tuple[int, int], Table] = {}
        self._keys = 0
        self._times = 0

    def __len__(self) -> int:
        return self._keys

    def take(self, policy: Policy, key: str, cost: int) -> Decision:
        """Take `cost` from what `key` has left of a limit."""
        now = self._clock()
        table = self._tables.get(policy.spec)
        if table is None:
            table = self._tables[policy.spec] = Table()
        cell = table.heavy.get(key)
        fresh = cell is None
        if fresh:
            cell = table.fresh.get(key)
        if cell is None:
            self._make_room(now)
            cell = table.fresh[key] = self._algorithm.begin(now)
            self._keys += 1
        before = len(cell)
        decision = self._algorithm.take(cell, policy.amount, policy.window, cost, now)
        if self._remembers:
            self._times += len(cell) - before
        if (decision.remaining * 2 <= policy.amount) is fresh:
            # It has passed the half, or has come back from there.
            here, there = (table.fresh, table.heavy) if fresh else (table.heavy, table.fresh)
            there[key] = cell
            here.pop(key, None)
        else:
            (table.fresh if fresh else table.heavy).move_to_end(key)
        return decision

    def spend(self, policy: Policy, key: str, reset: float) -> None:
        """Leave `key` nothing of a limit for so many seconds, as another store has refused it."""
        now = self._clock()
        if self.take(policy, key, 0).remaining > 0:
            heavy = self._tables[policy.spec].heavy
            self._tables[policy.spec].fresh.pop(key, None)
            before = len(heavy.get(key, ()))
            cell = heavy[key] = self._algorithm.spent(policy.amount, policy.window, reset, now)
            if self._remembers:
                self._times += len(cell) - before

    def _make_room(self, now: float) -> None:
        """Forget some keys whose windows are over, and if there is still no room, the one that matters least."""
        for (_, window), table in self._tables.items():
            for keys in (table.fresh, table.heavy):
                self._sweep(keys, window, now)
        while self._keys and self._keys + self._times // TIMES_PER_KEY >= self._max:
            table = max(self._tables.values(), key=lambda table: len(table.fresh))
            keys = table.fresh or max((table.heavy for table in self._tables.values()), key=len)
            self._forget(keys)

    def _sweep(self, keys: OrderedDict[str, Any], window: float, now: float) -> None:
        """Forget two of the keys that were used longest ago, if their windows are over."""
        for _ in range(2):
            if not keys or not self._algorithm.over(keys[next(iter(keys))], window, now):
                return
            self._forget(keys)

    def _forget(self, keys: OrderedDict[str, Any]) -> None:
        _, cell = keys.popitem(last=False)
        self._keys -= 1
        if self._remembers:
            self._times -= len(cell)
