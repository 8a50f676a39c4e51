"""What every integration does, whatever its library: come and go, bear outages, count, keep secrets."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from fastapi import FastAPI

from tests.drive import ask, running, samples
from tests.integrations.conftest import Lines, Observe
from tests.integrations.subjects import SECRET, SUBJECTS, Subject
from tests.tracing.conftest import Kept

TIMEOUT = 0.5


@pytest.fixture(params=list(SUBJECTS))
async def subject(request: pytest.FixtureRequest, relay: Any) -> AsyncIterator[Subject]:
    made = await SUBJECTS[request.param](request, relay)
    yield made
    await made.close()


async def ready(app: FastAPI) -> tuple[int | None, dict[str, Any]]:
    """Ask the readiness probe; return its status and the one check."""
    answer = await ask(app, path="/readyz")
    ((_, check),) = answer.json()["checks"].items()
    return answer.status, check


async def until(condition: Callable[[], Awaitable[bool]], deadline: float = 15.0) -> None:
    end = time.monotonic() + deadline
    while not await condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.05)


async def test_comes_and_goes(subject: Subject, observe: Observe) -> None:
    """Installed, it hooks into the library; uninstalled, the library is as it was, and works."""
    await subject.use()
    before = subject.hooks()
    for _ in range(2):
        obs = observe(FastAPI(), subject.part())
        assert subject.hooks() != before
        await subject.use()
        obs.remove()
        assert subject.hooks() == before
        await subject.use()


async def test_a_failed_installation_leaves_nothing(subject: Subject, observe: Observe) -> None:
    """A part that cannot be installed, as its name is taken or it is installed already, hooks into nothing twice."""
    part = subject.part()
    obs = observe(FastAPI(), part)
    installed = subject.hooks()
    with pytest.raises(ValueError, match="already"):
        obs.add(part)
    if subject.checked:
        with pytest.raises(ValueError, match="already"):
            obs.add(subject.part())
    assert subject.hooks() == installed


def test_the_extra_is_named(subject: Subject) -> None:
    """Without the library, the call tells what to install."""
    assert subject.without_library().endswith(f"is not installed: pip install '{subject.extra}'")


async def test_metrics_are_in_the_catalogue(subject: Subject, observe: Observe) -> None:
    """Everything that it counts is in the catalogue, by the names and labels of the conventions, and is served."""
    app = FastAPI()
    obs = observe(app, subject.part())
    catalogue = {metric["name"]: metric for metric in obs.catalogue()["metrics"]}
    for metric in subject.metrics:
        found = catalogue[metric.name]
        assert (found["type"], tuple(found["labels"]), found["help"]) == (metric.type, metric.labels, metric.help)
    before = await samples(app, *(metric.name for metric in subject.metrics))
    await subject.use()
    assert await samples(app, *(metric.name for metric in subject.metrics)) != before


async def test_two_side_by_side(subject: Subject, observe: Observe) -> None:
    """Two parts of different names work in one application; one uninstalled, the other goes on."""
    app = FastAPI()
    obs = observe(app, subject.part(name="first"), subject.part(name="second"))
    if subject.checked:
        answer = await ask(app, path="/readyz")
        assert {name: check["status"] for name, check in answer.json()["checks"].items()} == {
            "first": "healthy",
            "second": "healthy",
        }
    assert {"first", "second"} <= obs.report().keys()
    other = observe(FastAPI(), subject.part())
    other.remove()
    before = await samples(app, *(metric.name for metric in subject.metrics))
    await subject.use()
    assert await samples(app, *(metric.name for metric in subject.metrics)) != before


async def test_check(subject: Subject, observe: Observe) -> None:
    """The check tells the details of the contract; its options are those of any check."""
    if not subject.checked:
        pytest.skip("it has no check")
    app = FastAPI()
    observe(app, subject.part(critical=False, probes=("detailed",), timeout=4.0))
    assert (await ask(app, path="/readyz")).json()["checks"] == {}
    ((_, check),) = (await ask(app, path="/detailed")).json()["checks"].items()
    assert check.keys() == {"status", "latency_ms", *subject.details}
    assert check["status"] == "healthy"


async def test_outage(subject: Subject, observe: Observe, lines: Lines, kept: Kept) -> None:
    """Down at start, up, hanging, up, down, up: the check follows within its time-out; no line, metric or span tells
    the password."""
    if subject.relay is None or not subject.checked:
        pytest.skip("its server cannot be cut")
    await subject.relay.down()
    app = FastAPI()
    observe(app, subject.part(timeout=TIMEOUT), tracing={"provider": kept.provider})
    told: list[Any] = []

    async def is_up() -> bool:
        status, check = await ready(app)
        told.append(check)
        return status == 200

    async def fails() -> None:
        began = time.monotonic()
        status, check = await ready(app)
        assert time.monotonic() - began < TIMEOUT + 2
        assert (status, check["status"]) == (503, "unhealthy")
        with suppress(Exception):
            async with asyncio.timeout(TIMEOUT):
                await subject.use()

    async with running(app):
        await fails()
        await subject.relay.up()
        await until(is_up)
        await subject.use()
        subject.relay.hang()
        await fails()
        await subject.relay.up()
        await until(is_up)
        await subject.relay.down()
        await fails()
        await subject.relay.up()
        await until(is_up)
    exposed = (await ask(app, path="/metrics")).body.decode()
    shown = [json.dumps(lines()), exposed, json.dumps(told), *(span.to_json() for span in kept.spans)]
    assert [text for text in shown if SECRET in text] == []
    assert "check_failed" in shown[0]
