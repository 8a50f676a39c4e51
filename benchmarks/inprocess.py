"""CPU time per request without sockets: every row in a process of its own, the rounds of all rows interleaved."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field

from benchmarks.children import Child, VariantError
from benchmarks.variants import Variant


@dataclass(slots=True)
class Cost:
    """What one row took, in microseconds of CPU per request, by round; or why it was not measured."""

    rounds: list[float] = field(default_factory=list)
    refused: str = ""

    @property
    def least(self) -> float:
        """The least of all rounds."""
        return min(self.rounds)

    @property
    def middle(self) -> float:
        """The median of all rounds."""
        return statistics.median(self.rounds)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured: processes per row one after the other, rounds in each, requests in a round."""

    generations: int = 3
    rounds: int = 4
    requests: int = 1500


Say = Callable[[str], None]


def measure(variants: Iterable[Variant], plan: Plan, say: Say) -> dict[str, Cost]:
    """Measure the rows. Several generations of processes, because where memory lies differs from start to start."""
    rows = list(variants)
    costs = {row.name: Cost() for row in rows}
    order = random.Random(7)
    for generation in range(plan.generations):
        say(f"in process: generation {generation + 1} of {plan.generations}")
        with ExitStack() as stack:
            children = _start(rows, costs, stack)
            for _ in range(plan.rounds):
                order.shuffle(children)
                for row, child in children:
                    child.ask(str(plan.requests))
                    costs[row.name].rounds.append(child.answer()["cpu_us"])
            expected = plan.rounds * plan.requests
        for row, child in children:
            _check_lines(row, child.lines, expected)
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
    """A row that claims to log must have logged each request, and the others nothing."""
    if row.logs and lines < expected:
        raise VariantError(f"{row.name} answered more than {expected} requests and wrote {lines} lines")
    if not row.logs and lines > expected * 0.01:
        raise VariantError(f"{row.name} is said not to log and wrote {lines} lines")
