"""The service as a real process, and what it says of itself."""

from __future__ import annotations

import http.client
import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.endurance.database import wait_until
from tests.ports import free_port
from tests.processes.launch import Process, Server, command, running, wait_for
from tests.soak.accounts import samples

_STARTS_WITHIN = 120.0
"""Seconds in which all workers are up on a machine that does other things as well."""

_OPTIONS: dict[Server, list[str]] = {
    # By default its supervisor kills a worker that does not answer for five seconds, be it for a machine that is busy;
    # for as long it waits for an answer of one that is killed while it is asked.
    "uvicorn": ["--timeout-graceful-shutdown", "5", "--timeout-worker-healthcheck", "10"],
    # Forked from one process that has the application loaded: a worker is up again in a moment.
    "gunicorn": ["--graceful-timeout", "10", "--preload"],
}


@contextmanager
def service(
    folder: Path,
    url: str,
    journal: Path,
    *,
    workers: int = 4,
    server: Server = "uvicorn",
    middleware: bool = False,
) -> Iterator[Process]:
    """Run the service until the block ends; kill -9 all of it then, if it has not ended."""
    source = (Path(__file__).parent / "service.py").read_text(encoding="utf-8")
    (folder / "shop.py").write_text(source, encoding="utf-8")
    settings = {**os.environ, "PYTHONUNBUFFERED": "1", "DATABASE_URL": url, "JOURNAL": str(journal)}
    settings["MIDDLEWARE"] = str(int(middleware))
    port = free_port()
    arguments = command(server, port, "--log-level", "warning", *_OPTIONS[server], workers=workers)
    with running(arguments, folder, settings, port) as process:
        wait_for(lambda: process.stdout.count('"application_started"') >= workers, process, _STARTS_WITHIN)
        wait_for(process.serves, process)
        yield process


def figures(process: Process) -> dict[str, float]:
    """Return sums of the metrics about interactions, by name without `belvedere_` and `interactions_`."""
    found: dict[str, float] = defaultdict(float)
    for (name, _), value in samples(process.get("/metrics").body.decode()).items():
        if "interactions_" in name and not name.endswith("_created"):
            found[name.partition("interactions_")[2]] += value
        elif name == "belvedere_internal_errors_total":
            found["internal_errors"] += value
    return found


def scraped(process: Process) -> dict[str, float]:
    """Return the figures; ask again where the worker that was to answer is killed."""
    found: dict[str, float] = defaultdict(float)

    def answered() -> bool:
        try:
            found.update(figures(process))
        except (OSError, http.client.HTTPException):
            return False
        return True

    wait_for(answered, process)
    return found


def settled(process: Process) -> dict[str, float]:
    """Return the figures once nothing waits any more, or half a minute has passed."""
    found: dict[str, float] = defaultdict(float)

    def done() -> bool:
        found.update(scraped(process))
        # What is delivered is no longer pending a moment before it is counted as written.
        return found["pending"] == 0 and found["written_total"] >= found["recorded_total"]

    wait_until(done)
    return found
