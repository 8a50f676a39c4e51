"""How each strategy takes from a limit in a shared store, in one round trip, and what it says is left."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Protocol

from limits.aio.strategies import MovingWindowRateLimiter, SlidingWindowCounterRateLimiter

from belvedere.ratelimit import sliding
from belvedere.ratelimit.policy import Decision, Policy

TAKE_FROM_FIXED_WINDOW = """
local cost, amount = tonumber(ARGV[1]), tonumber(ARGV[2])
local used = tonumber(redis.call('get', KEYS[1]) or 0)
local allowed = used + cost <= amount
if allowed then
    used = redis.call('incrby', KEYS[1], ARGV[1])
    if used == cost then
        redis.call('expire', KEYS[1], ARGV[3])
    end
end
return {allowed and 1 or 0, used, redis.call('pttl', KEYS[1])}
"""
"""The library's script adds a cost before it is compared, so that what is refused is gone. The counter is the same."""


class Counting(Protocol):
    """One strategy on one storage."""

    async def take(self, policy: Policy, where: str, key: str, cost: int) -> Decision:
        """Take `cost` from what is left, or refuse and take nothing."""


class FixedWindowByScript:
    """A fixed window in Redis, checked and counted in one step."""

    def __init__(self, storage: Any) -> None:
        self._name: Callable[[str], str] = storage.bridge.prefixed_key
        self._script: Any = storage.bridge.get_connection().register_script(TAKE_FROM_FIXED_WINDOW)

    async def take(self, policy: Policy, where: str, key: str, cost: int) -> Decision:
        name = self._name(policy.item.key_for(where, key))
        allowed, used, left = await self._script([name], [cost, policy.amount, policy.window])
        # What was refused has begun no window.
        return Decision(bool(allowed), policy.amount - used, left / 1000 if left >= 0 else policy.window)


class FixedWindowByCounter:
    """A fixed window in a storage that can only add: of several at once, one that is refused may have been counted."""

    def __init__(self, storage: Any) -> None:
        self._storage = storage

    async def take(self, policy: Policy, where: str, key: str, cost: int) -> Decision:
        identity = policy.item.key_for(where, key)
        # What costs 1 and is refused has found nothing left to take.
        if cost > 1:
            used = await self._storage.get(identity)
            if used + cost > policy.amount:
                left = max(policy.amount - used, 0)
                return Decision(False, left, await self._end(identity) if used else policy.window)
        used, end = await asyncio.gather(self._storage.incr(identity, policy.window, cost), self._end(identity))
        return Decision(used <= policy.amount, max(policy.amount - used, 0), end)

    async def _end(self, identity: str) -> float:
        return float(await self._storage.get_expiry(identity)) - time.time()


class MovingWindow:
    """The library's moving window; Redis also tells when there is room for more than 1."""

    def __init__(self, storage: Any) -> None:
        self._rate = MovingWindowRateLimiter(storage)
        self._bridge = getattr(storage, "bridge", None)

    async def take(self, policy: Policy, where: str, key: str, cost: int) -> Decision:
        # All are asked for at once, and answered in this order.
        allowed, (end, left), blocking = await asyncio.gather(
            self._rate.hit(policy.item, where, key, cost=cost),
            self._rate.get_window_stats(policy.item, where, key),
            self._blocking(policy, where, key, cost),
        )
        if not allowed and cost > 1:
            end = policy.window + (blocking or time.time())
        return Decision(allowed, left, max(end - time.time(), 0.0))

    async def _blocking(self, policy: Policy, where: str, key: str, cost: int) -> float | None:
        """Return the time of the request that has to leave the window, the newest being the first of the list."""
        if self._bridge is None or not 1 < cost <= policy.amount:
            return None
        name = self._bridge.prefixed_key(policy.item.key_for(where, key))
        found = await self._bridge.get_connection().lindex(name, policy.amount - cost)
        return None if found is None else float(found)


class SlidingWindow:
    """The library's sliding window, whose counters tell when there is room."""

    def __init__(self, storage: Any) -> None:
        self._rate = SlidingWindowCounterRateLimiter(storage)
        self._storage = storage

    async def take(self, policy: Policy, where: str, key: str, cost: int) -> Decision:
        allowed, (before, before_left, used, used_left) = await asyncio.gather(
            self._rate.hit(policy.item, where, key, cost=cost),
            self._storage.get_sliding_window(policy.item.key_for(where, key), policy.window),
        )
        # A counter is kept for the window that it counts and the one that follows.
        left = before_left if before else max(used_left - policy.window, 0.0) if used else policy.window
        elapsed = min(max(policy.window - left, 0.0), policy.window)
        return sliding.decision(
            before, used, policy.window, elapsed, amount=policy.amount, refused=None if allowed else cost
        )


def counting(strategy: str, storage: Any) -> Counting:
    """Return what counts by a strategy of the library's name."""
    if strategy == "moving-window":
        return MovingWindow(storage)
    if strategy == "sliding-window-counter":
        return SlidingWindow(storage)
    return FixedWindowByScript(storage) if hasattr(storage, "bridge") else FixedWindowByCounter(storage)
