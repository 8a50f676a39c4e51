"""What a request costs is guarded by ratios within one run: against four pure ASGI middlewares written by hand.

They do the same jobs with the same structlog and prometheus-client, so that no peer need be installed. Each bound lies
half way between what was measured when it was set and twice that, and is tightened when the default gets cheaper.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.counting import counted
from benchmarks.inprocess import LOADED, Plan, measure
from benchmarks.variants import BARE, BELVEDERE, BY_HAND, RECORDED, TRACED, Variant

MOST_INSTRUCTIONS = 1.45
"""Bytecode instructions that the default adds, by what the four add; 0.97 when it was set."""
MOST_C_CALLS = 1.55
"""Calls into C alike; 1.03 when it was set."""
MOST_WITH_SPANS = 2.2
"""Bytecode instructions that the default adds with every request traced, by what the four add; 1.47 when it was set."""
MOST_WITH_INTERACTIONS = 2.1
"""Those that it adds with each request recorded as an interaction alike; 1.40 when it was set."""
MOST_TIME = 0.95
"""CPU time alike; 0.55 when it was set. Coarse, since it is time: the counts are the sharper bounds."""

PLAN = Plan(generations=1, rounds=10, requests=40 * LOADED, together=(LOADED,))


@pytest.fixture(scope="module", autouse=True)
def _children_without_coverage() -> Iterator[None]:
    """Keep a tracer out of the processes that are measured: it would be measured as well."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("COV"):
                patch.delenv(name)
        yield


@pytest.fixture(scope="module")
def counts(_children_without_coverage: None) -> dict[str, Any]:
    """What a request executes in each of the rows."""
    return {row.name: counted(row.build) for row in (BARE, BELVEDERE, TRACED, RECORDED, BY_HAND)}


def added(counts: dict[str, Any], what: str, row: Variant = BELVEDERE) -> float:
    """What the default, or another row, adds to a bare request, by what the four middlewares add."""
    bare, ours, theirs = (counts[one.name][what] for one in (BARE, row, BY_HAND))
    ratio: float = (ours - bare) / (theirs - bare)
    return ratio


def test_default_executes_few_instructions(counts: dict[str, Any]) -> None:
    """The default adds about as much bytecode to a request as four small middlewares by hand, which do less."""
    assert added(counts, "instructions") <= MOST_INSTRUCTIONS


@pytest.mark.parametrize(("row", "most"), [(TRACED, MOST_WITH_SPANS), (RECORDED, MOST_WITH_INTERACTIONS)])
def test_spans_and_interactions_execute_few_instructions(counts: dict[str, Any], row: Variant, most: float) -> None:
    """A span for each request, or an interaction, adds about half as much again; what a span says is made later."""
    assert added(counts, "instructions", row) <= most


def test_default_makes_few_calls_into_c(counts: dict[str, Any]) -> None:
    """The default adds about as many calls into C to a request as four small middlewares by hand."""
    assert added(counts, "c_calls") <= MOST_C_CALLS


def test_lines_of_one_turn_are_written_together(counts: dict[str, Any]) -> None:
    """Requests that are answered in one turn of the event loop share one write of their log lines."""
    assert counts[BY_HAND.name]["by_c_call"]["write"] >= 1
    assert counts[BELVEDERE.name]["by_c_call"].get("write", 0) <= 2 / LOADED


def test_nothing_is_left_to_the_garbage_collector(counts: dict[str, Any]) -> None:
    """A request leaves no circle of references behind, not even through the server's own object for it."""
    assert counts[BELVEDERE.name]["garbage"] <= counts[BARE.name]["garbage"] + 0.1


def test_default_takes_little_time() -> None:
    """The default adds less CPU time to a request than the four middlewares by hand."""
    ratios: list[float] = []
    # What else runs on this machine may spoil one look; it does not spoil five.
    while len(ratios) < 5 and not any(ratio <= MOST_TIME for ratio in ratios):
        costs = measure((BARE, BELVEDERE, BY_HAND), PLAN, lambda _: None)
        assert not [cost.refused for cost in costs.values() if cost.refused]
        bare, ours, theirs = (costs[row.name].least() for row in (BARE, BELVEDERE, BY_HAND))
        ratios.append((ours - bare) / (theirs - bare))
    assert ratios[-1] <= MOST_TIME
