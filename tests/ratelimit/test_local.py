"""Counting in this process: as the library counts, in memory that is bounded, and a flood wipes out nobody's count."""

from __future__ import annotations

import subprocess
import sys
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import STRATEGIES

from belvedere.ratelimit.local import LocalStore
from belvedere.ratelimit.policy import policies

NAMES = ("fixed-window", "moving-window", "sliding-window-counter")


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = 600_000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("name", ["fixed-window", "moving-window"])
@settings(deadline=None, max_examples=60)
@given(
    steps=st.lists(st.tuples(st.sampled_from([0.0, 0.4, 1.0, 3.0, 9.5, 10.0, 25.0]), st.integers(0, 1)), max_size=40)
)
async def test_it_counts_as_the_library_does(name: str, steps: list[tuple[float, int]]) -> None:
    """Step by step the same requests pass, with the same left and the same time to wait, as in the library's store."""
    clock = Clock()
    ours, (policy,) = LocalStore(name, clock=clock), policies("4/10 seconds", None)
    strategy: Any = STRATEGIES[name]
    theirs: Any = strategy(MemoryStorage())
    with mock.patch("time.time", clock):
        for seconds, key in steps:
            clock.now += seconds + 0.0625  # Never the very end of a window, of which the library says two things.
            decision = ours.take(policy, str(key), 1)
            allowed = await theirs.hit(policy.item, str(key))
            stats = await theirs.get_window_stats(policy.item, str(key))
            assert (decision.allowed, decision.remaining) == (allowed, stats.remaining)
            assert decision.reset == pytest.approx(stats.reset_time - clock.now)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=100)
@given(
    amount=st.integers(1, 6),
    steps=st.lists(st.tuples(st.floats(0, 15), st.integers(1, 7)), min_size=1, max_size=30),
)
def test_never_too_much_and_waiting_helps(name: str, amount: int, steps: list[tuple[float, int]]) -> None:
    """Never more than the amount within a window (within two, where windows are fixed), nothing is taken by what is
    refused, and whoever waits as told is let through."""
    clock = Clock()
    store, (policy,) = LocalStore(name, clock=clock), policies(f"{amount}/10 seconds", None)
    passed: list[tuple[float, int]] = []
    for seconds, cost in steps:
        clock.now += seconds
        decision = store.take(policy, "key", cost)
        assert 0 <= decision.remaining <= amount
        if decision.allowed:
            passed.append((clock.now, cost))
            most = amount if name == "moving-window" else 2 * amount
            assert sum(cost for when, cost in passed if when > clock.now - 10) <= most
        elif cost <= amount:
            assert store.take(policy, "key", cost) == decision
            clock.now += policy.seconds(decision) + 0.001
            assert store.take(policy, "key", cost).allowed
            passed.append((clock.now, cost))


def test_a_sliding_window_slides() -> None:
    """Half a window later, half of what was used in the window before counts."""
    clock = Clock()
    store, (policy,) = LocalStore("sliding-window-counter", clock=clock), policies("10/10 seconds", None)
    assert [store.take(policy, "key", 1).remaining for _ in range(10)] == list(range(9, -1, -1))
    refused = store.take(policy, "key", 1)
    assert (refused.allowed, refused.reset) == (False, 10)
    clock.now += 15
    half = store.take(policy, "key", 1)
    assert (half.allowed, half.remaining) == (True, 4)
    assert half.reset == pytest.approx(0.0)
    assert [store.take(policy, "key", 1).allowed for _ in range(5)] == [True] * 4 + [False]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("used", [0, 1, 3])
def test_what_another_store_refused_is_refused(name: str, used: int) -> None:
    """A key that has nothing left elsewhere has nothing left here, for as long."""
    clock = Clock()
    store, (policy,) = LocalStore(name, clock=clock), policies("3/10 seconds", None)
    for _ in range(used):
        store.take(policy, "key", 1)
    for _ in range(2):
        store.spend(policy, "key", 4.0)
    refused = store.take(policy, "key", 1)
    assert (refused.allowed, refused.remaining) == (False, 0)
    assert used == 3 or refused.reset == pytest.approx(4.0)
    clock.now += refused.reset + 0.01
    assert store.take(policy, "key", 1).allowed
    assert len(store) == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_flood_of_keys_pushes_out_nobody_who_is_refused(name: str) -> None:
    """Keys that have used half of their limit stay while others are made up; those go, the oldest first."""
    store, (policy,) = LocalStore(name, max_keys=100, clock=Clock()), policies("10/minute", None)
    for _ in range(11):
        store.take(policy, "refused", 1)
    for _ in range(5):
        store.take(policy, "half", 1)
    for _ in range(4):
        store.take(policy, "little", 1)
    for number in range(10_000):
        store.take(policy, str(number), 1)
    assert len(store) <= 100
    assert not store.take(policy, "refused", 1).allowed
    assert store.take(policy, "half", 1).remaining == 4
    assert store.take(policy, "little", 1).remaining == 9


@pytest.mark.parametrize("name", NAMES)
def test_keys_of_all_limits_share_one_bound(name: str) -> None:
    """However many limits there are; and when all keys are beyond half, the oldest of these go."""
    store, several = LocalStore(name, max_keys=100, clock=Clock()), policies("1/second;2/minute;3/hour", None)
    for number in range(1000):
        for policy in several:
            store.take(policy, str(number), 2 if policy.amount == 3 else 1)
    assert len(store) <= 100
    assert not store.take(several[0], "999", 1).allowed


def test_a_moving_window_is_bounded_by_what_it_remembers() -> None:
    """It remembers a time for each request: keys with many of them leave room for fewer keys."""
    store, (policy,) = LocalStore("moving-window", max_keys=100, clock=Clock()), policies("1000/minute", None)
    for number in range(100):
        store.take(policy, str(number), 400)
    assert len(store) == 100 // (400 // 32) + 0
    assert store.take(policy, "99", 1).remaining == 599


@pytest.mark.parametrize("name", NAMES)
def test_keys_whose_windows_are_over_make_room(name: str) -> None:
    """After a flood, memory is given back as others come."""
    clock = Clock()
    store, (policy,) = LocalStore(name, clock=clock), policies("10/minute", None)
    for number in range(2000):
        store.take(policy, str(number), 1 + number % 10)
    clock.now += 121
    for number in range(1500):
        store.take(policy, f"later {number}", 1)
    assert len(store) <= 1600


def test_a_million_keys_take_no_more_memory_than_the_bound() -> None:
    """Half a million keys after the bound was reached, the process is no larger than it was then."""
    code = """
import resource
from belvedere.ratelimit.local import LocalStore
from belvedere.ratelimit.policy import policies
most = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
store, (policy,) = LocalStore("fixed-window"), policies("30/hour", None)
before, sizes = most(), []
for number in range(1_000_000):
    store.take(policy, f"GET /search\\n10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 1)
    if number in (200_000, 999_999):
        sizes.append(most() - before)
print(len(store), *sizes)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    keys, early, late = map(int, done.stdout.split())
    assert keys == 100_000
    assert late < 64
    assert late - early < 8
