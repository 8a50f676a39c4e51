"""Rate limits, in the process and in Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from uuid import uuid4

import httpx
import pytest
from redis.asyncio import Redis
from sqlalchemy import URL

from belvedere import RateLimiter
from scholarships.config import Config
from scholarships.schemas import Role
from tests.examples.scholarships.identities import KEYS, bearer
from tests.examples.scholarships.serving import calling, checked, served
from tests.examples.scholarships.test_writing import DRAFT
from tests.ports import free_port

PARTNER = bearer("partner")
CALLS: dict[str, tuple[tuple[str, str, dict[str, Any]], ...]] = {
    "search": (("POST", "/search", {"json": {}}),),
    "auth": (("POST", "/auth/token", {"data": {"username": "nobody", "password": "x"}}),),
    "write": (
        ("POST", "/scholarships", {"json": DRAFT, "headers": PARTNER}),
        ("PATCH", "/scholarships/99999", {"json": {"amount": 1}, "headers": PARTNER}),
        ("DELETE", "/scholarships/99999", {"headers": PARTNER}),
    ),
}


@asynccontextmanager
async def limited(url: URL, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with served(Config(database_url=url, **KEYS, **options)) as app, calling(app) as client:
        yield client


@pytest.mark.parametrize("name", CALLS)
async def test_limited(written_url: URL, name: str) -> None:
    """Calls of one name share a limit; what is too much is a 429 in the shape of all errors, with when to return."""
    async with limited(written_url, rate_limits={name: "3/hour"}) as client:
        calls = (CALLS[name] * 3)[:3]
        for left, (method, path, options) in zip((2, 1, 0), calls, strict=True):
            answer = await client.request(method, path, **options)
            assert answer.status_code in {200, 201, 401, 404}
            assert answer.headers["RateLimit-Policy"] == f'"{name}";q=3;w=3600'
            assert answer.headers["RateLimit"].startswith(f'"{name}";r={left};t=')
        for method, path, options in CALLS[name]:
            answer = await client.request(method, path, **options)
            assert answer.status_code == 429
            assert 0 < int(answer.headers["Retry-After"]) <= 3600
            assert answer.json() == {
                "error": "http_429",
                "message": "Too Many Requests",
                "request_id": answer.headers["X-Request-ID"],
            }
        assert (await client.get("/scholarships")).status_code == 200


async def test_defaults(sample_url: URL) -> None:
    """Without `RATE_LIMITS` one signs in five times a minute."""
    async with limited(sample_url) as client:
        method, path, options = CALLS["auth"][0]
        statuses = [(await client.request(method, path, **options)).status_code for _ in range(6)]
    assert statuses == [401] * 5 + [429]


async def test_whose(written_url: URL) -> None:
    """Each user has a limit of their own, but for signing in, where a token gives no more tries."""
    async with limited(written_url, rate_limits={"search": "1/hour", "auth": "1/hour"}) as client:
        for headers in ({}, PARTNER, bearer("student")):
            for status in (200, 429):
                assert (await client.post("/search", json={}, headers=headers)).status_code == status
        method, path, options = CALLS["auth"][0]
        for headers, status in (({}, 401), (PARTNER, 429), (bearer("student"), 429)):
            assert (await client.request(method, path, headers=headers, **options)).status_code == status


async def test_redis(written_url: URL, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `RATE_LIMIT_REDIS_URL` processes share their limits, and are ready while Redis answers."""
    # More time than by default: of the machine of a test, other tests have most.
    monkeypatch.setattr("scholarships.telemetry.RateLimiter", partial(RateLimiter, timeout=10.0))
    user = bearer(uuid4().hex, Role.STUDENT)  # others may use the same Redis
    limits: dict[str, Any] = {"rate_limit_redis_url": redis_url, "rate_limits": {"search": "2/day"}}
    async with limited(written_url, **limits) as one, limited(written_url, **limits) as other:
        statuses = [(await client.post("/search", json={}, headers=user)).status_code for client in (one, other, one)]
        assert statuses == [200, 200, 429]
        ready = await checked(one, database="ok", redis="ok")
        assert (ready.status_code, ready.json()) == (
            200,
            {"status": "ready", "checks": {"database": "ok", "redis": "ok"}},
        )


async def test_redis_away(sample_url: URL) -> None:
    """With Redis away the limits hold in this process, and it is not ready."""
    away = f"redis://127.0.0.1:{free_port()}/0"
    async with limited(sample_url, rate_limit_redis_url=away, rate_limits={"search": "1/hour"}) as client:
        assert [(await client.post("/search", json={})).status_code for _ in range(2)] == [200, 429]
        assert (await client.get("/healthz")).status_code == 200
        ready = await checked(client, database="ok", redis="failed")
        assert ready.status_code == 503
        assert ready.json()["checks"] == {"database": "ok", "redis": "failed"}
        assert ready.json()["error"] == "Redis connection failed"


async def test_redis_that_cannot_count(sample_url: URL, redis_url: str) -> None:
    """A Redis that answers, and lets nothing be written, is none that limits can use: the service is not ready."""
    user = f"reader-{uuid4().hex}"
    admin: Any
    async with Redis.from_url(redis_url) as admin:
        await admin.execute_command("ACL", "SETUSER", user, "on", ">word", "~*", "+@all", "-@write", "-@scripting")
    reading = redis_url.replace("redis://", f"redis://{user}:word@")
    async with limited(sample_url, rate_limit_redis_url=reading) as client:
        ready = await checked(client, database="ok", redis="failed")
        assert (ready.status_code, ready.json()["checks"]) == (503, {"database": "ok", "redis": "failed"})
        assert (await client.post("/search", json={})).status_code == 200
