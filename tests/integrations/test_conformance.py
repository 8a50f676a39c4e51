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
from tests.integrations.subjects import SECRET, SUBJECTS, Subject, without_library
from tests.tracing.conftest import Kept

TIMEOUT = 1.0
PROMPT = 10.0
"""Seconds of a check that its time-out has ended, on a busy machine too: a server that hangs does so for ever."""
SLOW = 0.03
"""Seconds for each answer of a slow server: a check asks several times, connections included."""


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


async def until(condition: Callable[[], Awaitable[bool]], deadline: float = 60.0) -> None:
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
    if not subject.extra:
        pytest.skip("it needs no library")
    assert without_library(subject.module, subject.absent).endswith(f"is not installed: pip install '{subject.extra}'")


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


async def test_two_side_by_side(subject: Subject, observe: Observe, kept: Kept) -> None:
    """Two parts of different names, and one in another application, on the same client: each of the applications
    counts a call once, and one span is made of it; when the first part has left, another one goes on."""
    if not subject.shared:
        pytest.skip("what one part watches is nobody else's")
    app, elsewhere = FastAPI(), FastAPI()
    # A session of botocore takes seconds to make a client on a busy machine.
    patient = {"timeout": PROMPT} if subject.checked else {}
    first, second = subject.part(name="first", **patient), subject.part(name="second", **patient)
    tracing = {"provider": kept.provider}
    obs = observe(app, first, second, tracing=tracing)
    if subject.checked:
        assert (await answered(app, "/readyz")).keys() == {"first", "second"}
    assert {"first", "second"} <= obs.report().keys()
    other = observe(elsewhere, subject.part(), tracing=tracing)
    before = [await counted(subject, one) for one in (app, elsewhere)]
    await subject.use()
    assert [await counted(subject, one) for one in (app, elsewhere)] == [count + 1 for count in before]
    assert len(kept.spans) == 1
    first.uninstall()
    await subject.use()
    other.remove()
    await subject.use()
    assert await counted(subject, app) == before[0] + 3
    assert len(kept.spans) == 3


async def answered(app: FastAPI, path: str) -> dict[str, Any]:
    """Return the checks of a probe, once all are healthy: a worker on a busy machine may not answer in its second."""
    checks: dict[str, Any] = {}

    async def healthy() -> bool:
        checks.update((await ask(app, path=path)).json()["checks"])
        return {check["status"] for check in checks.values()} == {"healthy"}

    await until(healthy)
    return checks


async def counted(subject: Subject, app: FastAPI) -> float:
    """Return how many calls the part's durations have counted."""
    (duration,) = [metric.name for metric in subject.metrics if metric.type == "histogram"]
    return sum((await samples(app, f"{duration}_count")).values())


async def test_check(subject: Subject, observe: Observe) -> None:
    """The check tells the details of the contract, and nothing else; its options are those of any check."""
    app = FastAPI()
    options = {"critical": False, "probes": ("detailed",), "timeout": PROMPT} if subject.checked else {}
    observe(app, subject.part(**options))
    assert (await ask(app, path="/readyz")).json()["checks"] == {}
    if not subject.checked:
        assert (await ask(app, path="/detailed")).json()["checks"] == {}
        return
    ((_, check),) = (await answered(app, "/detailed")).items()
    assert check.keys() == {"status", "latency_ms", *subject.details}


async def test_outage(subject: Subject, observe: Observe, lines: Lines, kept: Kept) -> None:
    """Down at start, up, slow, hanging, up, down, up: the check follows within its time-out, or without one the
    library itself; no line, metric, span, answer or report tells the password."""
    if subject.relay is None:
        pytest.skip("its server cannot be cut")
    await subject.relay.down()
    app = FastAPI()

    @app.get("/use")
    async def use() -> None:
        await subject.use()

    obs = observe(
        app, subject.part(**({"timeout": TIMEOUT} if subject.checked else {})), tracing={"provider": kept.provider}
    )
    told: list[Any] = []

    async def is_up() -> bool:
        if not subject.checked:
            return await works()
        status, check = await ready(app)
        told.append(check)
        return status == 200

    async def works() -> bool:
        with suppress(Exception):
            async with asyncio.timeout(TIMEOUT):
                await subject.use()
                return True
        return False

    async def fails() -> None:
        if subject.checked:
            began = time.monotonic()
            status, check = await ready(app)
            assert time.monotonic() - began < PROMPT
            assert (status, check["status"]) == (503, "unhealthy")
            told.append(check)
        assert not await works()

    async with running(app):
        await fails()
        told.append((await ask(app, path="/use")).body.decode())
        await subject.relay.up()
        await until(is_up)
        await subject.use()
        subject.relay.delay = SLOW
        began = time.monotonic()
        await until(is_up)
        assert time.monotonic() - began >= SLOW
        assert not subject.checked or told[-1]["latency_ms"] >= SLOW * 1000
        subject.relay.hang()
        await fails()
        subject.relay.wake() if subject.waits else await subject.relay.up()
        await until(is_up)
        await subject.relay.down()
        await fails()
        await subject.relay.up()
        await until(is_up)
    exposed = (await ask(app, path="/metrics")).body.decode()
    log = json.dumps(lines())
    shown = [log, exposed, str(told), str(obs.report()), json.dumps(obs.catalogue())]
    shown += [span.to_json() for span in kept.spans]
    assert [text for text in shown if SECRET in text] == []
    assert "unhandled_exception" in log
    assert not subject.checked or ("check_failed" in log and "check_recovered" in log)
    assert [span.name for span in kept.spans if (span.attributes or {}).get("error.type")] != []
