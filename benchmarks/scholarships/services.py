"""One row's service: uvicorn with four workers, as its users start it, and wrk in front of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks.children import DEADLINE, ROOT, CountedProcess, VariantError, python_path
from benchmarks.scholarships.rows import Row
from benchmarks.server import free_port

_SCRIPT = Path(__file__).with_name("traffic.lua")
_STOPS_WITHIN = 30.0
_QUIET = 0.03
"""Seconds of CPU time that workers without requests may take in a second."""


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk counted, and the workers' CPU time for it."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    worker_seconds: float = 0.0

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds

    @property
    def cpu_us(self) -> float:
        """CPU time of the workers for one request."""
        return self.worker_seconds / self.requests * 1e6


class Service(CountedProcess):
    """The supervisor of one row and its workers; their standard output is read as a log collector does."""

    def __init__(self, row: Row, workers: int, environment: Mapping[str, str]) -> None:
        self.row = row
        self.workers = workers
        self.port = free_port()
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 -- closed by stop()
        path = os.pathsep.join([str(ROOT / "examples"), python_path()])
        options = ["--port", str(self.port), "--workers", str(workers), "--no-access-log", "--log-level", "warning"]
        options += ["--timeout-worker-healthcheck", "60"]  # else a busy machine's workers are killed as they start
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "benchmarks.scholarships.served:app", *options],
            cwd=ROOT,
            env={**os.environ, **environment, "PYTHONPATH": path, "PYTHONHASHSEED": "0", "LOAD_KEPT": row.kept},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,  # so that no worker outlives a supervisor that had to be killed
        )
        super().__init__(process)

    def wait(self) -> None:
        """Wait until it answers."""
        deadline = time.monotonic() + DEADLINE
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/scholarships/7", timeout=5) as answer:
                    answer.read()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise VariantError(f"{self.row.title} does not answer\n{self._said()}") from None
                time.sleep(0.05)

    def load(self, seconds: int, connections: int, arguments: list[str]) -> Load:
        """Load it for so many seconds; what it does afterwards for these requests, such as writing rows, counts too."""
        before = self._settled()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(_SCRIPT)]
        done = subprocess.run(
            [*command, f"http://127.0.0.1:{self.port}", "--", *arguments], capture_output=True, text=True, check=True
        )
        counted = json.loads(done.stdout.splitlines()[-1])
        if counted.pop("refused") or counted.pop("broken"):
            raise VariantError(f"{self.row.title}: answers that were none, or errors\n{done.stdout}{self._said()}")
        return Load(**counted, worker_seconds=self._settled() - before)

    def cpu_seconds(self) -> float:
        """CPU time that supervisor and workers have taken so far, in seconds."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        processes = [str(self.process.pid), *(pid for task in tasks for pid in task.read_text().split())]
        threads = [file for process in processes for file in Path(f"/proc/{process}/task").glob("*/schedstat")]
        taken = 0
        for file in threads:
            with suppress(OSError):  # a thread that has ended since
                taken += int(file.read_text().split()[0])
        return taken / 1e9

    def _settled(self) -> float:
        """Wait until the workers have nothing left to do, and return their CPU time until then."""
        deadline = time.monotonic() + 10
        last, pause = self.cpu_seconds(), 0.15
        while time.monotonic() < deadline:
            time.sleep(pause)
            now = self.cpu_seconds()
            if now - last < _QUIET * pause:
                break
            last = now
        return last

    def _said(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")[-2000:]

    def stop(self) -> None:
        """Terminate it; kill all of it if it does not end."""
        self.process.terminate()
        try:
            self.process.wait(_STOPS_WITHIN)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.ended(_STOPS_WITHIN)
        self._errors.close()
