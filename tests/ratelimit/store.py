"""A real Redis that a test stops, freezes and starts again, on one port."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.ports import free_port
from tests.servers import AbsentError

PASSWORD = "s3cr3t-of-redis"
DEADLINE = 60.0


class Redis:
    """One server, in memory alone, with a password; what it holds is gone when it stops."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("redis-server")
        if program is None:
            raise AbsentError("redis-server is not installed; `make services` installs it")
        self.port = free_port()
        self.url = f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"
        self.name = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._command = [program, "--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no"]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Run it, and return when it serves."""
        with (self._folder / "redis.log").open("wb") as log:
            command = [*self._command, "--requirepass", PASSWORD]
            self._process = subprocess.Popen(command, cwd=self._folder, stdout=log, stderr=log)
        deadline = time.monotonic() + DEADLINE
        while True:
            try:
                assert self.command("PING") == "PONG"
                return
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.02)

    def stop(self) -> None:
        """Kill it, unless it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Have it take connections and answer nothing, as a host that hangs does."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def command(self, *words: str) -> str:
        """Return the first line of its answer, without the sign of its type."""
        text = "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
        with socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE) as connection:
            connection.sendall(f"*2\r\n$4\r\nAUTH\r\n${len(PASSWORD)}\r\n{PASSWORD}\r\n".encode())
            connection.sendall(f"*{len(words)}\r\n{text}".encode())
            with connection.makefile("rb") as answers:
                assert answers.readline() == b"+OK\r\n"
                return answers.readline().decode()[1:].strip()

    def keys(self) -> str:
        """Return the names of all keys, as one text."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE) as connection:
            connection.sendall(f"AUTH {PASSWORD}\r\nKEYS *\r\nQUIT\r\n".encode())
            with connection.makefile("rb") as answers:
                return answers.read().decode()


@contextmanager
def redis(folder: Path) -> Iterator[Redis]:
    """Run one until the end of the block."""
    server = Redis(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
