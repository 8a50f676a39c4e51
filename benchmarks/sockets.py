"""Throughput over sockets as a share of bare FastAPI: one uvicorn worker, keep-alive, measured in interleaved pairs."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from benchmarks.children import Child, VariantError
from benchmarks.machine import available_cpus
from benchmarks.rate import Rate
from benchmarks.variants import BARE, Variant

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class SocketPlan:
    """Pairs per row, seconds of load in each half of a pair, connections."""

    pairs: int = 5
    seconds: float = 0.4
    connections: int = 16


@dataclass(slots=True)
class Share:
    """The halves by pair: bare, then the row; or why it was not measured."""

    pairs: list[tuple[Rate, Rate]] = field(default_factory=list)
    refused: str = ""

    @property
    def throughput(self) -> float:
        """The row's requests per second as a share of bare's: the median of the pairs."""
        return statistics.median(row.per_second / bare.per_second for bare, row in self.pairs)

    @property
    def cpu(self) -> float | None:
        """The same per second of the server's CPU time; None where the system does not tell."""
        if not all(bare.per_cpu_second and row.per_cpu_second for bare, row in self.pairs):
            return None
        return statistics.median(row.per_cpu_second / bare.per_cpu_second for bare, row in self.pairs)


class Load:
    """The load's process, on a processor of its own where there is one."""

    def __init__(self, plan: SocketPlan, cpu: int | None) -> None:
        self.plan = plan
        self.child = Child("benchmarks.load", cpu=cpu)

    def half(self, server: Child, port: int) -> Rate:
        """Load the server once."""
        before = server.cpu_seconds()
        self.child.ask(f"{port} {self.plan.seconds} {self.plan.connections}")
        answer = self.child.answer()
        if answer["failed"]:
            raise VariantError(f"{answer['failed']:.0f} answers were not 200")
        return Rate.of(answer["per_second"], answer["completed"], server.cpu_seconds() - before)


def measure(variants: Iterable[Variant], plan: SocketPlan, say: Say) -> dict[str, Share]:
    """Measure the rows against one bare server that runs all along.

    The server has one processor to itself, the load and the reader of the log lines another, where there are two.
    """
    cpus = available_cpus()
    server_cpu, load_cpu = (cpus[0], cpus[1]) if len(cpus) > 1 else (None, None)
    load = Load(plan, load_cpu)
    shares: dict[str, Share] = {}
    if load_cpu is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {load_cpu})
    try:
        with Child("benchmarks.server", BARE.build, cpu=server_cpu) as bare:
            bare_port = int(bare.answer()["port"])
            for row in variants:
                say(f"over sockets: {row.title}")
                shares[row.name] = _pairs(row, (bare, bare_port), load, plan, server_cpu)
    finally:
        load.child.stop()
        if load_cpu is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, cpus)
    return shares


def _pairs(row: Variant, bare: tuple[Child, int], load: Load, plan: SocketPlan, cpu: int | None) -> Share:
    share = Share()
    with Child("benchmarks.server", row.build, cpu=cpu) as server:
        try:
            port = int(server.answer()["port"])
            load.half(server, port)
            for number in range(plan.pairs):
                if number % 2:
                    ours = load.half(server, port)
                    share.pairs.append((load.half(*bare), ours))
                else:
                    share.pairs.append((load.half(*bare), load.half(server, port)))
        except VariantError as failure:
            share.refused = str(failure)
    return share
