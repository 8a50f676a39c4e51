"""Real server processes: an application in a file, a server around it, requests by HTTP, signals, and what it wrote."""

from __future__ import annotations

import http.client
import json
import os
import signal as signals
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tests.ports import free_port

Server = Literal["uvicorn", "gunicorn", "granian", "hypercorn"]
DEADLINE = 120.0
"""Seconds that a process may take to do what a test waits for."""
LEFT_TO_READ = 5.0
"""Seconds that are given to the readers of what has ended."""


@dataclass
class Answer:
    """What a request came back with."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Process:
    """A server that runs; its output is read all the time, so that it never waits for a reader."""

    process: subprocess.Popen[bytes]
    port: int
    out: list[bytes] = field(default_factory=list)
    err: list[bytes] = field(default_factory=list)
    readers: list[threading.Thread] = field(default_factory=list)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def stdout(self) -> str:
        return b"".join(self.out).decode()

    @property
    def stderr(self) -> str:
        return b"".join(self.err).decode()

    def get(
        self, path: str, headers: Mapping[str, str] | None = None, *, method: str = "GET", body: bytes | None = None
    ) -> Answer:
        """Send one request on a connection of its own; OSError if nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def serves(self) -> bool:
        """Whether it answers at all."""
        try:
            self.get("/healthz")
        except (OSError, http.client.HTTPException):
            return False
        return True

    def workers(self) -> list[int]:
        """Return the processes below it that run Python's or the server's workers, oldest first."""
        return [pid for pid in children(self.pid) if b"resource_tracker" not in command_line(pid)]

    def signal(self, number: signals.Signals) -> None:
        self.process.send_signal(number)

    def ended(self) -> int:
        """Wait for its end, and return its exit code."""
        code = self.process.wait(DEADLINE)
        for reader in self.readers:
            reader.join(DEADLINE)
        return code

    def read_on(self) -> None:
        """Read what it has left to be read if it has ended; not for long, as those that it started may go on."""
        if self.process.poll() is not None:
            for reader in self.readers:
                reader.join(LEFT_TO_READ)

    def stop(self, number: signals.Signals = signals.SIGTERM) -> int:
        """Send a signal, wait for the end, and return the exit code."""
        self.signal(number)
        return self.ended()


def command(server: Server, port: int, *options: str, workers: int = 1, app: str = "shop:app") -> list[str]:
    """Return the command by which users start `app` under a server."""
    address = f"127.0.0.1:{port}"
    split = ["--host", "127.0.0.1", "--port", str(port)]
    several = [] if workers == 1 else ["--workers", str(workers)]
    # Else its supervisor kills workers that take 5 s to start, which they do on a machine that is busy; for one that
    # dies as it is asked how it is, it waits so long.
    patient = [*several, "--timeout-worker-healthcheck", "20"] if several else []
    # A worker has 30 s by default, for its start too. Connections of tests to each worker would be closed after 2 s.
    worker = ["-k", "uvicorn_worker.UvicornWorker", "--timeout", "120", "--keep-alive", "120"]
    arguments = {
        "uvicorn": ["uvicorn", *split, "--timeout-keep-alive", "120", *patient, *options, app],
        "gunicorn": ["gunicorn", *worker, "-b", address, *several, *options, app],
        "granian": ["granian", "--interface", "asgi", *split, *several, *options, app],
        "hypercorn": ["hypercorn", "-b", address, *several, *options, app],
    }[server]
    return [sys.executable, "-m", *arguments]


@contextmanager
def launch(
    server: Server,
    folder: Path,
    source: str,
    *options: str,
    workers: int = 1,
    environment: Mapping[str, str] | None = None,
    port: int | None = None,
    app: str = "shop:app",
) -> Iterator[Process]:
    """Write `source` to `shop.py`, run it under a server until the block ends, killed if it is still there then.

    The block begins when the server answers. `{port}` in `options` is the port.
    """
    (folder / "shop.py").write_text(source)
    port = port or free_port()
    settings = {**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})}
    arguments = command(server, port, *[option.format(port=port) for option in options], workers=workers, app=app)
    with running(arguments, folder, settings, port) as process:
        wait_for(process.serves, process)
        yield process


@contextmanager
def running(arguments: Sequence[str], folder: Path, settings: Mapping[str, str], port: int) -> Iterator[Process]:
    """Run any command that serves on `port`, without waiting until it does."""
    with subprocess.Popen(
        arguments, cwd=folder, env=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as popen:
        process = Process(popen, port)
        for stream, lines in ((popen.stdout, process.out), (popen.stderr, process.err)):
            reader = threading.Thread(target=_read, args=(stream, lines), daemon=True)
            reader.start()
            process.readers.append(reader)
        try:
            yield process
        finally:
            if popen.poll() is None:
                os.killpg(popen.pid, signals.SIGKILL)
                popen.wait()
            for reader in process.readers:
                reader.join(DEADLINE)


def wait_for(condition: Callable[[], bool], process: Process, seconds: float = DEADLINE) -> None:
    """Return once `condition` holds; fail with what the process wrote if it ends before, or takes too long."""
    deadline = time.monotonic() + seconds
    while not condition():
        ended = process.process.poll() is not None
        if ended or time.monotonic() > deadline:
            process.read_on()
            if condition():  # it ended, or wrote what was still to be read, after the last look
                return
            state = "ended" if ended else "still runs"
            raise AssertionError(f"waited in vain; it {state}\n{process.stdout[-4000:]}\n{process.stderr[-4000:]}")
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    """Return the child processes of `pid`, oldest first."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # a thread that has ended since
            found += map(int, task.read_text().split())
    return sorted(found)


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _read(stream: Any, lines: list[bytes]) -> None:
    lines.extend(stream)
