"""Strategies on a storage of the library that is no Redis."""

from __future__ import annotations

from unittest import mock

import pytest
from limits.aio.storage import MemoryStorage

from belvedere.ratelimit.counting import counting
from belvedere.ratelimit.local import ALGORITHMS, LocalStore
from belvedere.ratelimit.policy import policies


@pytest.mark.parametrize("strategy", ALGORITHMS)
async def test_what_is_refused_takes_nothing_whatever_it_costs(strategy: str) -> None:
    """One after the other, a storage that can only add says what this process says when it counts for itself."""
    (policy,) = policies("10/hour", None)
    local, shared = LocalStore(strategy), counting(strategy, MemoryStorage())
    costs = (11, 7, 4, 4, 3, 1, 11)
    here = [local.take(policy, "key", cost) for cost in costs]
    with mock.patch("time.time", return_value=600_000.0):  # not just as an hour ends
        there = [await shared.take(policy, "shop", "key", cost) for cost in costs]
    told = [(decision.allowed, decision.remaining) for decision in there]
    assert told == [(decision.allowed, decision.remaining) for decision in here]
    assert told == [(False, 10), (True, 3), (False, 3), (False, 3), (True, 0), (False, 0), (False, 0)]
    if strategy == "sliding-window-counter":
        # Its windows begin where the clock has them there, not with the first request.
        assert all(0 < decision.reset <= policy.window for decision in there)
    else:
        assert [decision.reset for decision in there] == pytest.approx([decision.reset for decision in here], abs=10)
