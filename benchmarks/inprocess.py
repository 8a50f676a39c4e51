"""CPU time per request without sockets: every row in a process of its own, the rounds of all rows interleaved."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field

from benchmarks.children import Child, VariantError
from benchmarks.variants import Variant

LOADED = 8
"""Requests per turn of the event loop in a service under load.

A busy uvicorn answers nearly one per open connection in each turn: measured, 3 of 4 connections, 15 of 16, 55 of 64.
"""
ALONE = 1
"""Requests per turn where each waits for the one before: whatever could be shared among them is paid by each."""

Say = Callable[[str], None]


@dataclass(slots=True)
class Cost:
    """What one row took, in microseconds of CPU per request, by round; or why it was not measured."""

    rounds: dict[int, list[float]] = field(default_factory=dict)
    refused: str = ""

    def least(self, together: int = LOADED) -> float:
        """The least of all rounds."""
        return min(self.rounds[together])

    def middle(self, together: int = LOADED) -> float:
        """The median of all rounds."""
        return statistics.median(self.rounds[together])


@dataclass(frozen=True, slots=True)
class Plan:
    """Processes per row, one after the other; rounds in each; requests in a round; how many of them at once."""

    generations: int = 2
    rounds: int = 5
    requests: int = 1000
    together: tuple[int, ...] = (LOADED, ALONE)


def measure(variants: Iterable[Variant], plan: Plan, say: Say) -> dict[str, Cost]:
    """Measure the rows. Several generations of processes, because where memory lies differs from start to start."""
    rows = list(variants)
    costs = {row.name: Cost({together: [] for together in plan.together}) for row in rows}
    order = random.Random(7)
    for generation in range(plan.generations):
        say(f"in process: generation {generation + 1} of {plan.generations}")
        with ExitStack() as stack:
            children = _start(rows, costs, stack)
            for _ in range(plan.rounds):
                for together in plan.together:
                    order.shuffle(children)
                    for row, child in children:
                        child.ask(f"{plan.requests} {together}")
                        costs[row.name].rounds[together].append(child.answer()["cpu_us"])
        for row, child in children:
            _check_lines(row, child.lines, plan.rounds * plan.requests * len(plan.together))
    return costs


def _start(rows: list[Variant], costs: dict[str, Cost], stack: ExitStack) -> list[tuple[Variant, Child]]:
    children = []
    for row in rows:
        if costs[row.name].refused:
            continue
        child = stack.enter_context(Child("benchmarks.worker", row.build))
        try:
            child.answer()
        except VariantError as failure:
            costs[row.name].refused = str(failure)
        else:
            children.append((row, child))
    return children


def _check_lines(row: Variant, lines: int, expected: int) -> None:
    """A row that is said to log must have written a line for each request, and the others none."""
    if row.logs and lines < expected:
        raise VariantError(f"{row.name} answered more than {expected} requests and wrote {lines} lines")
    if not row.logs and lines > expected * 0.01:
        raise VariantError(f"{row.name} is said not to log and wrote {lines} lines")
