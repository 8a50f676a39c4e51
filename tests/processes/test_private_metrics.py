"""Metrics on a port of their own, under the servers that users run: one process listens, and another when it ends."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port
from tests.processes.launch import DEADLINE, Process, Server, children, launch, wait_for

SHOP = """
import os
import belvedere
from fastapi import FastAPI

app = FastAPI(title="Shop")
belvedere.observe(app)

@app.get("/orders/{number}")
async def order(number: int):
    return {"number": number, "worker": os.getpid()}
"""

TAKE_OVER = 15.0
"""Seconds until another worker listens: it tries each second; the rest is for a machine that is busy."""


def scrape(port: int, path: str = "/metrics") -> str | None:
    """Return what the private port serves, `None` if nobody listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.read().decode() if answer.status == 200 else f"{answer.status}"
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def worker(process: Process) -> int | None:
    """Return which worker answers a request, `None` if one that is ending took it and did not."""
    try:
        pid: int = process.get("/orders/7").json()["worker"]
    except (OSError, http.client.HTTPException):
        return None
    return pid


def orders(port: int) -> float:
    """Return how many orders were read, as the private port tells."""
    name = 'http_requests_total{method="GET",endpoint="/orders/{number}",status="200"} '
    return sum(float(line.removeprefix(name)) for line in (scrape(port) or "").splitlines() if line.startswith(name))


def listeners(process: Process, port: int) -> list[int]:
    """Return the processes of a server that hold a socket listening on `port`."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == port and fields[3] == "0A":
                inodes.add(f"socket:[{fields[9]}]")
    return [pid for pid in [process.pid, *process.workers()] if inodes & held(pid)]


def held(pid: int) -> set[str]:
    """Return what a process has open, none if it has ended."""
    names = set()
    with suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):  # closed since
                names.add(str(link.readlink()))
    return names


def events(process: Process, name: str) -> list[dict[str, Any]]:
    lines = [line for line in process.stdout.splitlines() if f'"{name}"' in line]
    return [event for event in map(json.loads, lines) if event["event"] == name]


@pytest.mark.parametrize(
    ("server", "options"), [("uvicorn", ()), ("gunicorn", ("--preload",)), ("granian", ("--respawn-failed-workers",))]
)
def test_of_two_workers_one_listens_and_the_other_takes_over(
    server: Server, options: tuple[str, ...], tmp_path: Path
) -> None:
    """Killed by kill -9, the one that listened is followed by another within moments; and SIGTERM leaves nobody."""
    port = free_port()
    environment = {"BELVEDERE_METRICS__PORT": str(port)}
    with launch(server, tmp_path, SHOP, *options, workers=2, environment=environment) as process:
        wait_for(lambda: len(process.workers()) == 2 and len(listeners(process, port)) == 1, process)
        (first,) = listeners(process, port)
        before = process.workers()
        assert first in process.workers()
        text = scrape(port)
        assert text is not None
        assert "belvedere_info{" in text
        assert process.get("/metrics").status == 404
        for number in range(20):
            assert process.get(f"/orders/{number}").status == 200
        # All workers' requests, whichever of them answered; kept when one is killed.
        wait_for(lambda: orders(port) == 20, process)
        assert scrape(port, "/orders/7") == "404"

        os.kill(first, signal.SIGKILL)
        killed = time.monotonic()
        wait_for(lambda: (scrape(port) or "").endswith("\n"), process)
        took = time.monotonic() - killed
        print(f"{server}: another worker listens {took:.2f} s after the first was killed")
        assert took < TAKE_OVER
        assert orders(port) == 20
        (second,) = listeners(process, port)
        assert second != first
        # granian never ends if it is told to before the worker that it started anew listens to signals.
        wait_for(lambda: worker(process) not in [None, *before], process)
        assert process.stop() in {0, -15}
        assert scrape(port) is None
        # Nobody complained of a port that a sibling has.
        assert events(process, "metrics_port_unavailable") == []
        assert {event["port"] for event in events(process, "metrics_listening")} == {port}


def test_a_port_that_another_program_has(tmp_path: Path) -> None:
    """The service runs, tells it once with what to do, and listens when the port is free; with a token, privately."""
    with socket.create_server(("", free_port())) as taken:
        port = taken.getsockname()[1]
        environment = {"BELVEDERE_METRICS__PORT": str(port), "BELVEDERE_METRICS__TOKEN": "s3cret-token"}
        with launch("uvicorn", tmp_path, SHOP, environment=environment) as process:
            assert process.get("/orders/7").status == 200
            taken.close()
            wait_for(lambda: scrape(port) == "401", process)
            for _ in range(5):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
                connection.request("GET", "/metrics", headers={"Authorization": "Bearer some-guess"})
                assert connection.getresponse().status == 401
                connection.close()
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
            connection.request("GET", "/metrics", headers={"Authorization": "bearer s3cret-token"})
            text = connection.getresponse().read().decode()
            connection.close()
            (refused,) = [line for line in text.splitlines() if line.startswith("belvedere_metrics_refused_total{")]
            assert refused.startswith('belvedere_metrics_refused_total{reason="token"} ')
            assert float(refused.split()[1]) >= 6
            assert process.stop() in {0, -15}
        (unavailable,) = events(process, "metrics_port_unavailable")
        assert (unavailable["port"], unavailable["reason"]) == (port, "address already in use")
        assert "metrics.port" in unavailable["remedy"]
        (told,) = events(process, "metrics_refused")
        assert (told["client"], told["reason"], told["refused"]) == ("127.0.0.1", "token", 1)
        assert not any(secret in process.stdout + process.stderr for secret in ("some-guess", "s3cret-token"))


@pytest.mark.parametrize(
    ("server", "options", "workers"),
    [
        ("uvicorn", (), 1),
        ("uvicorn", ("--lifespan", "off"), 1),
        # Their supervisors bind it, and their workers listen there once the application has started.
        ("uvicorn", (), 2),
        ("granian", (), 1),
        ("hypercorn", (), 1),
    ],
)
def test_the_services_own_port_is_no_port_for_metrics(
    server: Server, options: tuple[str, ...], workers: int, tmp_path: Path
) -> None:
    """Where both settings say the same, the service has it, and the log of each worker tells."""
    port = free_port()
    environment = {"BELVEDERE_METRICS__PORT": str(port)}
    with launch(server, tmp_path, SHOP, *options, workers=workers, environment=environment, port=port) as process:
        wait_for(lambda: len(events(process, "metrics_port_unavailable")) == workers, process)
        if workers > 1:
            answered: set[int | None] = set()

            def all_answered() -> bool:
                answered.add(worker(process))
                return answered >= set(process.workers())

            wait_for(all_answered, process)
        assert process.get("/orders/7").status == 200
        assert process.stop() in {0, -15}
        assert children(process.pid) == []
