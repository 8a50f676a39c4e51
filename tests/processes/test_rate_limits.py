"""Rate limits of a service of several workers: one Redis makes them one, and without it each counts for itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import or_skip
from tests.processes.launch import Answer, Process, Server, launch, wait_for
from tests.processes.several import Connection, connected
from tests.ratelimit.store import Redis, redis

SHOP = """
import os
from fastapi import FastAPI
import belvedere

app = FastAPI()
everything = []

@app.get("/pid")
async def pid() -> int:
    return os.getpid()

for strategy in ("fixed", "moving", "sliding"):
    # More time than by default: of the machine of a test, other tests have most.
    limiter = belvedere.RateLimiter(os.environ["LIMITS_URL"], strategy=strategy, timeout=5.0)
    everything.append(limiter)

    @app.get(f"/{strategy}", dependencies=[limiter.limit("25/hour", name=strategy, key="header:X-API-Key")])
    async def limited() -> int:
        return os.getpid()

belvedere.observe(app, *everything)
"""
STRATEGIES = ("fixed", "moving", "sliding")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Redis]:
    with or_skip(), redis(tmp_path) as server:
        yield server


def at_once(process: Process, path: str, count: int, headers: Mapping[str, str] | None = None) -> list[Answer]:
    """Ask `count` times, from 20 clients at the same time, each on a connection of its own."""
    with ThreadPoolExecutor(20) as pool:
        return list(pool.map(lambda _: process.get(path, headers), range(count)))


def by_all(connections: list[Connection], path: str, times: int) -> list[Answer]:
    """Ask so many times by each of the connections, by all of them at the same time."""
    with ThreadPoolExecutor(len(connections)) as pool:
        answers = pool.map(lambda connection: [connection.ask(path) for _ in range(times)], connections)
        return [answer for of_one in answers for answer in of_one]


def events(process: Process, event: str) -> int:
    return process.stdout.count(f'"event":"{event}"')


def _unavailable(process: Process) -> int:
    return events(process, "rate_limit_store_unavailable")


@pytest.mark.parametrize(("server", "options"), [("uvicorn", []), ("gunicorn", ["--preload"])])
def test_four_workers_share_one_limit_exactly(server: Server, options: list[str], tmp_path: Path, store: Redis) -> None:
    """Of requests to all four at once exactly the limit passes, by each strategy; the metric adds up over workers.

    With Redis gone each worker counts for itself, says so once, and goes back to it by itself.
    """
    environment = {"LIMITS_URL": store.url, "BELVEDERE_LOGS__FORMAT": "json", "BELVEDERE_HEALTH__DRAIN": "0"}
    with launch(server, tmp_path, SHOP, *options, workers=4, environment=environment) as process:
        wait_for(lambda: events(process, "application_started") == 4, process)
        for strategy in STRATEGIES:
            with connected(process, 4) as connections:
                answers = by_all(connections, f"/{strategy}", 20)
            passed = [answer.json() for answer in answers if answer.status == 200]
            assert len(passed) == 25
            assert {answer.status for answer in answers} == {200, 429}
            assert len(set(passed)) > 1
            refused = [answer.headers for answer in answers if answer.status == 429]
            assert {headers["ratelimit"].split(";")[1] for headers in refused} == {"r=0"}
            assert all(1 <= int(headers["retry-after"]) <= 3600 for headers in refused)
        scrape = process.get("/metrics").body.decode()
        for strategy in STRATEGIES:
            name = f'belvedere_rate_limit_decisions_total{{limit="{strategy}",outcome='
            assert f'{name}"allowed"}} 25.0' in scrape
            assert f'{name}"refused"}} 55.0' in scrape
        assert _unavailable(process) == 0

        store.stop()
        forwarded = {"X-API-Key": "another client"}
        answers = at_once(process, "/fixed", 120, forwarded)
        passed = [answer.json() for answer in answers if answer.status == 200]
        assert 25 <= len(passed) <= 4 * 25
        assert all(passed.count(worker) <= 25 for worker in passed)
        wait_for(lambda: _unavailable(process) >= 1, process)
        assert _unavailable(process) <= 4
        store.start()
        wait_for(lambda: events(process, "rate_limit_store_recovered") == _unavailable(process), process)
        assert [answer.status for answer in at_once(process, "/fixed", 40, forwarded)].count(200) == 25
        assert process.stop() in {0, -15}
        assert "s3cr3t" not in process.stdout + process.stderr
        assert "rate_limit_store_unavailable" not in process.stderr
