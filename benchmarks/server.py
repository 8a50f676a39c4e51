"""A child that serves one row with uvicorn, one worker, on a free port of the loopback interface.

`python -m benchmarks.server BUILD DESCRIPTOR` writes the port to the descriptor and serves until standard input ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import threading

import uvicorn

from benchmarks.children import stay_on_cpu
from benchmarks.variants import application


class Server(uvicorn.Server):
    """Tells its port once it has started."""

    def __init__(self, config: uvicorn.Config, answers: int) -> None:
        super().__init__(config)
        self.answers = answers

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        assert sockets
        os.write(self.answers, json.dumps({"port": sockets[0].getsockname()[1]}).encode() + b"\n")


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def serve(build: str, answers: int) -> None:
    """Serve with uvicorn's own defaults, its access log off for every row: bare FastAPI then writes nothing at all."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    config = uvicorn.Config(application(build), access_log=False, log_level="warning")
    server = Server(config, answers)

    def wait_for_end() -> None:
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=wait_for_end, daemon=True).start()
    try:
        server.run(sockets=[listening])
    except asyncio.CancelledError:
        pass


if __name__ == "__main__":
    stay_on_cpu()
    serve(sys.argv[1], int(sys.argv[2]))
