"""Child processes of the benchmark: started, read from, stopped; each alone, so that no two rows share a global."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

ROOT = Path(__file__).resolve().parent.parent
DEADLINE = 120.0


def stay_on_cpu() -> None:
    """Keep this process on the processor that the parent named, if it named one."""
    cpu = os.environ.get("BENCHMARK_CPU")
    if cpu and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(cpu)})


class VariantError(RuntimeError):
    """A row's process did not start, or ended early; the text is its last words."""


def python_path() -> str:
    """Return the PYTHONPATH of children: this repository, then what this process has."""
    return os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))


class CountedProcess(ABC):
    """A process whose standard output is a pipe with a reader that counts lines, as a log collector would read it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.lines = 0
        self._reader = threading.Thread(target=self._drain, daemon=True)
        self._reader.start()

    def _drain(self) -> None:
        assert self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        while chunk := os.read(descriptor, 65536):
            self.lines += chunk.count(b"\n")

    @abstractmethod
    def stop(self) -> None:
        """Have it end, and wait until it has."""

    def ended(self, seconds: float) -> None:
        """Wait until it has ended and its output is read; kill it after so many seconds."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(5)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


class Child(CountedProcess):
    """One process of `python -m MODULE ARGUMENTS DESCRIPTOR`, which answers on the descriptor in lines of JSON."""

    def __init__(self, module: str, *arguments: str, cpu: int | None = None) -> None:
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 -- closed by stop()
        self._answers, writing = os.pipe()
        # Unlike select(), it takes descriptors past 1,023, of which a long run of tests may have as many.
        self._told = select.poll()
        self._told.register(self._answers, select.POLLIN)
        self._buffer = b""
        environment = os.environ | {"PYTHONHASHSEED": "0", "PYTHONPATH": python_path()}
        command = [sys.executable, "-m", module, *arguments, str(writing)]
        if cpu is not None:
            environment["BENCHMARK_CPU"] = str(cpu)
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            pass_fds=(writing,),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        os.close(writing)
        super().__init__(process)

    def ask(self, line: str) -> None:
        """Write one line to the child's standard input."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise VariantError(self._last_words()) from None

    def answer(self) -> dict[str, Any]:
        """Wait for the next line of JSON."""
        deadline = time.monotonic() + DEADLINE
        while b"\n" not in self._buffer:
            ready = self._told.poll(max(0.0, deadline - time.monotonic()) * 1000)
            chunk = os.read(self._answers, 65536) if ready else b""
            if not chunk:
                raise VariantError(self._last_words() if ready else f"no answer within {DEADLINE:.0f} s")
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        answered: dict[str, Any] = json.loads(line)
        return answered

    def _last_words(self) -> str:
        self.process.wait(5)
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip().splitlines()
        return said[-1] if said else f"ended with {self.process.returncode}"

    def cpu_seconds(self) -> float:
        """CPU time that its threads have taken so far, in seconds; 0 where the system does not tell."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def stop(self) -> None:
        """Close its input, which ends it; kill it if it does not."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        self.ended(10)
        self._errors.close()
        os.close(self._answers)
