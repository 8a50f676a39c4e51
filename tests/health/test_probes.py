from __future__ import annotations

from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from belvedere.asgi import Attachment, Plan
from belvedere.parts import Check
from tests.health.conftest import Clock, Make, get

STAMP = "2026-03-01T12:30:15.250000Z"


async def passes() -> None:
    return None


async def fails() -> bool:
    return False


async def test_liveness_and_basic_say_ok_and_check_nothing(make: Make) -> None:
    """Liveness and the basic sign of life answer 200 whatever the checks would say, and run none."""
    health = make(basic="/basic")

    async def never() -> None:
        raise AssertionError

    health.add(Check("database", never, probes=("ready", "detailed", "startup")))
    results: list[Any] = []
    health.on_result = lambda *result: results.append(result)
    for path in ("/healthz", "/basic"):
        response = await get(health, path)
        assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert results == []


async def test_liveness_tells_the_fields_that_are_set(make: Make) -> None:
    """`live_fields` adds service, version and timestamp in the order of the setting."""
    health = make(live_fields=("timestamp", "service", "version"))
    response = await get(health, "/healthz")
    assert response.text == f'{{"status":"ok","timestamp":"{STAMP}","service":"shop","version":"1.2.3"}}'


async def test_a_probe_is_json_that_no_cache_keeps(make: Make) -> None:
    """A probe's answer is JSON with its length, and may not be stored."""
    response = await get(make(), "/readyz")
    assert dict(response.headers) == {
        "content-type": "application/json",
        "content-length": str(len('{"status":"ready","checks":{}}')),
        "cache-control": "no-store",
    }
    assert response.content == b'{"status":"ready","checks":{}}'


async def test_head_has_the_headers_of_get_and_no_body(make: Make) -> None:
    """HEAD tells the status and length that GET would have, without a body."""
    health = make()
    head, whole = await get(health, "/readyz", "HEAD"), await get(health, "/readyz")
    assert (head.status_code, head.content, head.headers) == (200, b"", whole.headers)


async def test_readiness_names_each_check(make: Make) -> None:
    """Readiness is 200 with a word for each of its checks, and leaves out those of other probes."""
    health = make()
    health.add(Check("database", passes))
    health.add(Check("search", passes, probes=("detailed",)))
    health.add(Check("redis", passes))
    response = await get(health, "/readyz")
    assert response.status_code == 200
    assert response.text == '{"status":"ready","checks":{"database":"ok","redis":"ok"}}'


async def test_readiness_tells_the_first_critical_failure(make: Make) -> None:
    """A failing critical check makes readiness 503, the error being the message of the first one."""
    health = make()
    health.add(Check("search", fails, critical=False, message="Search unreachable"))
    health.add(Check("database", fails, message="Database connection failed"))
    health.add(Check("redis", fails))
    health.add(Check("mail", passes))
    response = await get(health, "/readyz")
    assert response.status_code == 503
    assert response.text == (
        '{"status":"not_ready","checks":{"search":"failed","database":"failed","redis":"failed","mail":"ok"},'
        '"error":"Database connection failed"}'
    )


async def test_a_failing_check_that_is_not_critical_leaves_the_instance_ready(make: Make) -> None:
    """A check that is not critical is shown as failed, and the status stays ready."""
    health = make()
    health.add(Check("search", fails, critical=False))
    response = await get(health, "/readyz")
    assert (response.status_code, response.text) == (200, '{"status":"ready","checks":{"search":"failed"}}')


async def test_a_check_without_message_is_named_in_the_error(make: Make) -> None:
    """Without a message of its own, a failed check is told as "<Name> check failed"."""
    health = make()
    health.add(Check("database", fails))
    response = await get(health, "/readyz")
    assert response.json()["error"] == "Database check failed"


@pytest.mark.parametrize(("attribute", "error"), [("ready", "Taken out of service"), ("draining", "Draining")])
async def test_an_instance_out_of_traffic_says_why(make: Make, clock: Clock, attribute: str, error: str) -> None:
    """Taken out by hand or draining, readiness is 503 at once with what is known, and liveness stays 200."""
    health = make()
    runs = []

    async def count() -> None:
        runs.append(1)

    health.add(Check("database", count))
    setattr(health, attribute, attribute == "draining")
    response = await get(health, "/readyz")
    assert (response.status_code, response.text) == (503, f'{{"status":"not_ready","checks":{{}},"error":"{error}"}}')
    setattr(health, attribute, attribute != "draining")
    assert (await get(health, "/readyz")).status_code == 200
    setattr(health, attribute, attribute == "draining")
    clock.seconds += 60
    response = await get(health, "/readyz")
    assert response.text == f'{{"status":"not_ready","checks":{{"database":"ok"}},"error":"{error}"}}'
    assert (await get(health, "/healthz")).status_code == 200
    assert len(runs) == 1


async def test_startup_is_503_until_the_application_has_started(make: Make) -> None:
    """The start-up probe says starting until start-up is complete, then started."""
    health = make(startup="/startup")
    response = await get(health, "/startup")
    assert (response.status_code, response.text) == (503, '{"status":"starting"}')
    health.started = True
    response = await get(health, "/startup")
    assert (response.status_code, response.text) == (200, '{"status":"started"}')


async def test_startup_waits_for_its_checks(make: Make) -> None:
    """A critical check of the start-up probe that fails keeps it at starting."""
    health = make(startup="/startup", cache=0)
    health.started = True
    migrated = False

    async def migrations() -> bool:
        return migrated

    health.add(Check("migrations", migrations, probes=("startup",), message="Migrations are pending"))
    response = await get(health, "/startup")
    assert response.status_code == 503
    assert response.text == '{"status":"starting","checks":{"migrations":"failed"},"error":"Migrations are pending"}'
    migrated = True
    response = await get(health, "/startup")
    assert (response.status_code, response.text) == (200, '{"status":"started","checks":{"migrations":"ok"}}')


@pytest.mark.parametrize(
    ("critical", "status", "word"), [(None, 200, "healthy"), (False, 200, "degraded"), (True, 503, "unhealthy")]
)
async def test_detailed_tells_degraded_from_unhealthy(
    make: Make, critical: bool | None, status: int, word: str
) -> None:
    """The detailed probe is healthy, degraded where no critical check failed, and 503 unhealthy where one did."""
    health = make(detailed="/detailed")
    health.add(Check("database", passes))
    if critical is not None:
        health.add(Check("celery", fails, critical=critical, probes=("detailed",)))
    response = await get(health, "/detailed")
    assert (response.status_code, response.json()["status"]) == (status, word)


async def test_the_full_payload_of_what_checks_nothing(make: Make) -> None:
    """In full, basic and liveness tell their word, the service and the time."""
    health = make(payload="full", basic="/")
    assert (await get(health, "/")).text == f'{{"status":"healthy","service":"shop","timestamp":"{STAMP}"}}'
    assert (await get(health, "/healthz")).text == f'{{"status":"alive","service":"shop","timestamp":"{STAMP}"}}'


async def test_the_full_payload_of_readiness(make: Make, clock: Clock) -> None:
    """In full, each check is an object with latency and details, a failed one with its message, no exception's text."""
    health = make(payload="full")

    async def database() -> dict[str, Any]:
        clock.seconds += 0.0025
        return {"pool_size": 20, "status": "green", "latency_ms": 1, "error": "none"}

    async def redis() -> None:
        raise ConnectionError("redis://:hunter2@cache:6379")

    health.add(Check("database", database))
    response = await get(health, "/readyz")
    assert response.status_code == 200
    assert response.text == (
        '{"status":"ready","checks":{"database":{"status":"healthy","latency_ms":2.5,"pool_size":20}},'
        f'"timestamp":"{STAMP}"}}'
    )
    health.add(Check("redis", redis, message="Redis is away"))
    response = await get(health, "/readyz")
    assert response.status_code == 503
    assert response.json() == {
        "status": "not_ready",
        "checks": {
            "database": {"status": "healthy", "latency_ms": 2.5, "pool_size": 20},
            "redis": {"status": "unhealthy", "latency_ms": 0.0, "error": "Redis is away"},
        },
        "timestamp": STAMP,
    }


async def test_the_full_payload_out_of_traffic_and_of_startup(make: Make) -> None:
    """In full, readiness out of traffic says why, and start-up tells its word, the service and the time."""
    health = make(payload="full", startup="/startup")
    health.draining = True
    assert (await get(health, "/readyz")).json() == {
        "status": "not_ready",
        "checks": {},
        "error": "Draining",
        "timestamp": STAMP,
    }
    assert (await get(health, "/startup")).json() == {"status": "starting", "service": "shop", "timestamp": STAMP}
    health.started = True
    health.add(Check("migrations", passes, probes=("startup",)))
    assert (await get(health, "/startup")).json() == {
        "status": "started",
        "service": "shop",
        "checks": {"migrations": {"status": "healthy", "latency_ms": 0.0}},
        "timestamp": STAMP,
    }


async def test_only_probes_with_a_path_are_served(make: Make) -> None:
    """A probe whose path is `None` is not served."""
    assert list(make().served()) == ["/healthz", "/readyz"]
    assert list(make(live=None, ready=None).served()) == []
    paths = {"basic": "/a", "live": "/b", "ready": "/c", "startup": "/d", "detailed": "/e"}
    assert list(make(**paths).served()) == ["/a", "/b", "/c", "/d", "/e"]


async def test_what_there_is_can_be_described(make: Make) -> None:
    """The description names served probes with their checks, and checks with all that was said of them."""
    health = make(live=None, detailed="/detailed", timeout=3)
    health.add(Check("database", passes))
    health.add(Check("celery", passes, critical=False, timeout=0.5, probes=("detailed",)))
    assert health.describe() == {
        "probes": [
            {"name": "ready", "path": "/readyz", "checks": ["database"]},
            {"name": "detailed", "path": "/detailed", "checks": ["database", "celery"]},
        ],
        "checks": [
            {"name": "database", "critical": True, "timeout": 3.0, "probes": ["ready", "detailed"]},
            {"name": "celery", "critical": False, "timeout": 0.5, "probes": ["detailed"]},
        ],
    }


async def test_probes_answer_inside_the_pass(make: Make) -> None:
    """Below `root_path` and before any authentication of the application, a probe answers with the request's id."""
    health = make()
    app = FastAPI()

    @app.middleware("http")
    async def refuse(request: Any, call_next: Any) -> Any:
        raise AssertionError("a probe reached the application")

    plan = Plan()
    plan.served = health.served()
    attachment = Attachment(app, plan, {})
    transport = httpx.ASGITransport(app, root_path="/shop")
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.test") as client:
        response = await client.get("/shop/readyz", headers={"X-Request-ID": "probe-7"})
    attachment.remove()
    assert (response.status_code, response.json()) == (200, {"status": "ready", "checks": {}})
    assert response.headers["x-request-id"] == "probe-7"
