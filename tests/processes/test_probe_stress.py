"""Probes of a service in distress, under a real server with both event loops, measured from outside."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from belvedere.settings import HealthSettings
from tests import servers
from tests.processes.launch import Process, wait_for
from tests.processes.probe_stress import AT_ONCE, CHECKS, Liveness, distress, liveness, readiness, runs

HEALTH = HealthSettings()
WITHIN = 0.05
"""Seconds that the issue gives liveness, for 99 of 100 probes."""


@pytest.fixture(params=["asyncio", "uvloop"])
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Process]:
    """A service whose thread pool is full, whose database has stopped, with 200 requests in flight."""
    try:
        with distress(request.param, tmp_path) as process:
            yield process
    except servers.AbsentError as absent:
        if os.environ.get("REQUIRE_SERVERS") == "1":
            pytest.fail(str(absent))
        pytest.skip(str(absent))


def test_probes_of_a_service_in_distress(service: Process, tmp_path: Path) -> None:
    """Liveness is quick, a thousand readiness probes are one run of each check, and what blocks the loop is named."""
    # What else runs on this machine may spoil one look; it does not spoil ten.
    looks: list[Liveness] = []
    while len(looks) < 10 and not any(look.p99 < WITHIN for look in looks):
        looks.append(liveness(service.port, 500))
        print(f"liveness: {looks[-1]}")
    assert looks[-1].p99 < WITHIN

    before = runs(service)
    answers, seconds = readiness(service.port)
    print(f"{len(answers)} readiness probes at once, answered within {seconds:.2f} s")
    assert len(answers) == AT_ONCE
    for answer in answers:
        assert answer.startswith(b"HTTP/1.1 503"), answer
        checks = json.loads(answer.partition(b"\r\n\r\n")[2])["checks"]
        assert checks == {"database": "failed", "partner": "failed", "archive": "failed", "search": "ok"}
    after = runs(service)
    # The last answers come when the checks that hang are given up; a machine that takes longer than that has taken the
    # probes in one after the other for so long that a result was no longer good.
    most = 1 + (seconds - HEALTH.timeout) // HEALTH.cache
    assert all(1 <= after[name] - before.get(name, 0) <= most for name in CHECKS), (seconds, before, after)

    (tmp_path / "block").touch()

    def named() -> list[Any]:
        lines = [json.loads(line) for line in service.stdout.splitlines() if '"check_blocked_loop"' in line]
        # On a busy machine a check may have had to wait for its turn, and is named for that; again after a minute.
        return [
            (line["level"], line["check"]) for line in lines if line["seconds"] >= 0.3 and line["check"] == "search"
        ]

    def twice() -> bool:
        # Each when the result of the last run is no longer good.
        return service.get("/readyz").status == 503 and runs(service)["search"] >= after["search"] + 2

    wait_for(lambda: twice() and bool(named()), service)
    assert named() == [("warning", "search")]
