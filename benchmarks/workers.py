"""Throughput of four workers over sockets: bare, bare with uvicorn's access log, Belvedere; in turn, in one run.

Started as users start them, `uvicorn --workers 4`, on whatever processors there are: the workers, the load and the
reader of the log share them.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.application import HEADERS, PREFIX
from benchmarks.children import DEADLINE, ROOT, Child, CountedProcess, VariantError, python_path
from benchmarks.rate import Rate
from benchmarks.server import free_port

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Row:
    """One service: what it is built from, and how uvicorn is told to log."""

    name: str
    title: str
    build: str
    options: tuple[str, ...] = ("--no-access-log", "--log-level", "warning")
    logs: bool = False


BARE = Row("bare", "bare FastAPI", "bare:build")
CONTROL = Row("control", "bare FastAPI, measured again (the noise)", "bare:build")
LOGGING = Row("logging", "bare FastAPI, uvicorn's access log on", "bare:build", (), logs=True)
BELVEDERE = Row("belvedere", "Belvedere, default", "ours:build", (), logs=True)
ROWS = (BARE, CONTROL, LOGGING, BELVEDERE)


@dataclass(frozen=True, slots=True)
class WorkersPlan:
    """Workers of each row, rounds, seconds of load in each, connections."""

    workers: int = 4
    rounds: int = 9
    seconds: int = 2
    connections: int = 32


@dataclass(slots=True)
class Rates:
    """Each row's rates, by round."""

    rounds: dict[str, list[Rate]] = field(default_factory=dict)

    def per_second(self, row: Row) -> float:
        """Requests per second, by the median."""
        return statistics.median(rate.per_second for rate in self.rounds[row.name])

    def share(self, row: Row, of: Row = BARE) -> float:
        """A row's throughput as a share of another's: the median of the rounds."""
        pairs = zip(self.rounds[row.name], self.rounds[of.name], strict=True)
        return statistics.median(ours.per_second / theirs.per_second for ours, theirs in pairs)

    def cpu_share(self, row: Row, of: Row = BARE) -> float:
        """The same per second of the workers' CPU time; 0 where the system does not tell."""
        pairs = zip(self.rounds[row.name], self.rounds[of.name], strict=True)
        return statistics.median(
            ours.per_cpu_second / theirs.per_cpu_second if theirs.per_cpu_second else 0.0 for ours, theirs in pairs
        )


class Service(CountedProcess):
    """The supervisor of one row and its workers, which write to the same standard output."""

    def __init__(self, row: Row, workers: int) -> None:
        self.row = row
        self.port = free_port()
        command = [sys.executable, "-m", "uvicorn", "benchmarks.served:app", "--port", str(self.port)]
        process = subprocess.Popen(
            [*command, "--workers", str(workers), *row.options],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": "0", "PYTHONPATH": python_path(), "BENCHMARK_BUILD": row.build},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        super().__init__(process)

    def wait(self) -> None:
        """Wait until it answers."""
        deadline = time.monotonic() + DEADLINE
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{PREFIX}7", timeout=5) as answer:
                    answer.read()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise VariantError(f"{self.row.title} does not answer") from None
                time.sleep(0.05)

    def cpu_seconds(self) -> float:
        """CPU time that the workers have taken so far, in seconds; 0 where the system does not tell."""
        try:
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            threads = [file for child in children for file in Path(f"/proc/{child}/task").glob("*/schedstat")]
            return sum(int(file.read_text().split()[0]) for file in threads) / 1e9
        except OSError:
            return 0.0

    def stop(self) -> None:
        """Terminate it; kill it if it does not end."""
        self.process.terminate()
        self.ended(15)


def measure(plan: WorkersPlan, say: Say) -> Rates:
    """Load the rows in turn, in another order each round."""
    rates = Rates({row.name: [] for row in ROWS})
    load = _wrk if shutil.which("wrk") else _own_load
    with ExitStack() as stack:
        services = [stack.enter_context(Service(row, plan.workers)) for row in ROWS]
        for service in services:
            service.wait()
        for service in services:
            say(f"{plan.workers} workers: warming up {service.row.title}")
            load(service.port, 1, plan.connections)
        answered = dict.fromkeys((row.name for row in ROWS), 0)
        for number in range(plan.rounds):
            say(f"{plan.workers} workers: round {number + 1} of {plan.rounds}")
            turn = number % len(services)
            for service in services[turn:] + services[:turn]:
                before = service.cpu_seconds()
                per_second, completed = load(service.port, plan.seconds, plan.connections)
                spent = service.cpu_seconds() - before
                rates.rounds[service.row.name].append(Rate.of(per_second, completed, spent))
                answered[service.row.name] += completed
    for service in services:
        if service.row.logs != (service.lines >= answered[service.row.name]):
            raise VariantError(f"{service.row.title}: {service.lines} lines of {answered[service.row.name]} requests")
    return rates


def _wrk(port: int, seconds: int, connections: int) -> tuple[float, int]:
    """Return what wrk counted: requests per second, and all that were answered."""
    headers = [f"-H{name.decode()}: {value.decode()}" for name, value in HEADERS if name != b"host"]
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(ROOT / "benchmarks/load.lua"), *headers]
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{port}", "--", PREFIX], capture_output=True, text=True, check=True
    )
    total = re.search(r"(\d+) requests in ([\d.]+)(m?s)", done.stdout)
    if total is None or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise VariantError(f"wrk: {done.stdout.strip() or done.stderr.strip()}")
    took = float(total[2]) / (1000 if total[3] == "ms" else 1)
    return int(total[1]) / took, int(total[1])


def _own_load(port: int, seconds: int, connections: int) -> tuple[float, int]:
    """Do the same where there is no wrk, at several times its cost."""
    with Child("benchmarks.load") as child:
        child.ask(f"{port} {seconds} {connections}")
        answer = child.answer()
    if answer["failed"]:
        raise VariantError(f"{answer['failed']:.0f} answers were not 200")
    return answer["per_second"], int(answer["completed"])


def render(rates: Rates, plan: WorkersPlan) -> str:
    """Return the table of a run."""
    load = "wrk" if shutil.which("wrk") else "benchmarks/load.py"
    lines = [
        f"{plan.workers} workers of uvicorn over sockets, {plan.connections} connections of {load}, "
        f"{plan.rounds} rounds of {plan.seconds} s, the rows in turn:",
        "",
        "|                                          | requests/s | of bare | per CPU second | of bare with its log |",
        "|------------------------------------------|-----------:|--------:|---------------:|---------------------:|",
    ]
    lines += [
        f"| {row.title:40} | {rates.per_second(row):10,.0f} | {rates.share(row):7.2f} | {rates.cpu_share(row):14.2f} "
        f"| {rates.share(row, LOGGING):20.2f} |"
        for row in ROWS
    ]
    return "\n".join(lines)
