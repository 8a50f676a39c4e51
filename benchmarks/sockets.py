"""Throughput over sockets as a share of bare FastAPI: one uvicorn worker, keep-alive, measured in interleaved pairs."""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.application import HEADERS
from benchmarks.children import Child, VariantError
from benchmarks.machine import available_cpus
from benchmarks.variants import BARE, Variant

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class SocketPlan:
    """Pairs per row, seconds of load in each half of a pair, connections."""

    pairs: int = 5
    seconds: float = 0.4
    connections: int = 16


@dataclass(frozen=True, slots=True)
class Half:
    """What a server answered in one half of a pair: requests per second, and per second of its CPU time."""

    per_second: float
    per_cpu_second: float


@dataclass(slots=True)
class Share:
    """The halves by pair: bare, then the row; or why it was not measured."""

    pairs: list[tuple[Half, Half]] = field(default_factory=list)
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
    """`wrk` if it is there, else our own."""

    def __init__(self, plan: SocketPlan, cpu: int | None) -> None:
        self.plan = plan
        self.wrk = shutil.which("wrk")
        self.cpu = cpu
        self.child = None if self.wrk else Child("benchmarks.load", cpu=cpu)

    @property
    def name(self) -> str:
        """What the load came from."""
        return "wrk" if self.wrk else "benchmarks.load"

    def half(self, server: Child, port: int) -> Half:
        """Load the server once."""
        before = server.cpu_seconds()
        per_second, completed = self._run(port)
        spent = server.cpu_seconds() - before
        return Half(per_second, completed / spent if spent else 0.0)

    def _run(self, port: int) -> tuple[float, float]:
        if self.child is None:
            return self._wrk(port)
        self.child.ask(f"{port} {self.plan.seconds} {self.plan.connections}")
        answer = self.child.answer()
        if answer["failed"]:
            raise VariantError(f"{answer['failed']:.0f} answers were not 200")
        return answer["per_second"], answer["completed"]

    def _wrk(self, port: int) -> tuple[float, float]:
        assert self.wrk
        seconds = max(1, round(self.plan.seconds))
        command = [self.wrk, "-t1", f"-c{self.plan.connections}", f"-d{seconds}s", f"http://127.0.0.1:{port}"]
        command += ["-s", str(Path(__file__).with_name("wrk.lua"))]
        for name, value in HEADERS:
            if name != b"host":
                command += ["-H", f"{name.decode()}: {value.decode()}"]
        if self.cpu is not None and (taskset := shutil.which("taskset")):
            command = [taskset, "-c", str(self.cpu), *command]
        said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
        rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
        completed = re.search(r"(\d+) requests in", said)
        if rate is None or completed is None or "Non-2xx" in said:
            raise VariantError(f"wrk said: {said.strip()[-200:]}")
        return float(rate[1]), float(completed[1])

    def stop(self) -> None:
        """End the child, where there is one."""
        if self.child is not None:
            self.child.stop()


def measure(variants: Iterable[Variant], plan: SocketPlan, say: Say) -> tuple[dict[str, Share], str]:
    """Measure the rows against one bare server that runs all along; what loaded them is returned too.

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
        load.stop()
        if load_cpu is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, cpus)
    return shares, load.name


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
