"""Redis: what is counted for which command, pipelines, scripts, caches and spans."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

import pytest
import redis
import redis.asyncio
from fastapi import FastAPI

from belvedere import integrations
from belvedere.integrations._redis.commands import NAMES
from tests.drive import ask, samples
from tests.integrations.conftest import Observe
from tests.tracing.conftest import Kept


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Any]:
    made = redis.asyncio.Redis.from_url(redis_url)
    yield made
    await made.aclose()


async def counted(app: FastAPI, name: str = "redis_operations_total") -> dict[str, float]:
    """Scrape; return the counts by their one label."""
    return {text.split('"')[1]: value for text, value in (await samples(app, name)).items()}


async def test_commands(client: Any, observe: Observe) -> None:
    """Commands, scripts and pipelines are one operation each, counted and timed, failed ones too."""
    app = FastAPI()
    observe(app, integrations.redis(client))
    await client.set("key", "value")
    await client.config_get("maxmemory")
    script = client.register_script("return redis.call('GET', KEYS[1])")
    await client.script_flush()
    assert await script(keys=["key"]) == b"value"
    with pytest.raises(redis.ResponseError):
        await client.lpush("key", "x")
    async with client.pipeline() as pipe:
        await pipe.watch("key")
        assert await pipe.get("key") == b"value"
        pipe.multi()
        pipe.set("key", "other").get("key")
        assert await pipe.execute() == [True, b"other"]
    expected = {"SET": 1, "CONFIG": 1, "SCRIPT": 2, "EVALSHA": 2, "LPUSH": 1, "PIPELINE": 1}
    assert await counted(app) == expected
    assert await counted(app, "redis_operation_duration_seconds_count") == expected


def test_sync_client(redis_url: str, observe: Observe) -> None:
    """A sync client alike."""
    app = FastAPI()

    def increase(pipe: Any) -> None:
        pipe.multi()
        pipe.incr("key")

    with redis.Redis.from_url(redis_url) as client:
        observe(app, integrations.redis(client))
        client.set("key", 1)
        assert client.transaction(increase, "key") == [2]
        pipe = client.pipeline()
        assert pipe.get("key").execute() == [b"2"]
        assert isinstance(pipe, redis.client.Pipeline)
    assert asyncio.run(counted(app)) == {"SET": 1, "PIPELINE": 2}


async def test_names_are_bounded(client: Any, observe: Observe) -> None:
    """Commands that are none, and keys in the place of a second word, make no series without end."""
    app = FastAPI()
    observe(app, integrations.redis(client))
    for number in range(NAMES + 50):
        with pytest.raises(redis.ResponseError):
            await client.execute_command(f"CMD{number}")
        await client.execute_command(f"GET key{number}")
    with pytest.raises(redis.ResponseError):
        await client.execute_command("nö {}")
    counts = await counted(app)
    assert len(counts) <= NAMES + 2
    assert counts["GET"] == NAMES + 50
    assert counts["OTHER"] >= 50


async def test_own_commands_are_nobodys(client: Any, observe: Observe) -> None:
    """What the check asks is not counted."""
    app = FastAPI()
    observe(app, integrations.redis(client))
    assert (await ask(app, path="/readyz")).status == 200
    assert await counted(app) == {}


async def test_a_user_who_may_not_ask(client: Any, redis_url: str, observe: Observe) -> None:
    """Where INFO is forbidden the check passes without details."""
    app = FastAPI()
    await client.execute_command("ACL", "SETUSER", "modest", "on", ">word", "~*", "+ping", "+client", "+hello")
    async with redis.asyncio.Redis.from_url(redis_url, username="modest", password="word") as modest:
        observe(app, integrations.redis(modest))
        answer = await ask(app, path="/readyz")
    assert answer.status == 200
    assert answer.json()["checks"]["redis"].keys() == {"status", "latency_ms"}


async def test_what_is_asked_besides(client: Any, observe: Observe) -> None:
    """`ping` is called after the question for details, and fails the check by raising or returning `False`."""
    app = FastAPI()
    said: list[Any] = [None, False, ConnectionError("read-only"), True]

    async def ping() -> Any:
        answer = said.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    observe(app, integrations.redis(client, ping=ping))
    answers = [await ask(app, path="/detailed") for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 503, 503, 200]
    for answer in (answers[0], answers[3]):
        assert answer.json()["checks"]["redis"].keys() == {
            "status", "latency_ms", "connected_clients", "used_memory_human",
        }  # fmt: skip
    assert "read-only" not in str([answer.json() for answer in answers])


def test_what_is_asked_besides_in_a_thread(redis_url: str, observe: Observe) -> None:
    """A sync client's `ping` is sync."""
    with redis.Redis.from_url(redis_url) as client:
        app = FastAPI()
        observe(app, integrations.redis(client, ping=lambda: client.exists("no such key") == 1))
        assert asyncio.run(ask(app, path="/detailed")).status == 503


async def test_caches(client: Any, observe: Observe) -> None:
    """Hits and misses are counted under the cache's name, while the part is installed."""
    app = FastAPI()
    part = integrations.redis(client)
    sessions = part.cache("sessions")
    assert sessions(b"early") == b"early"
    obs = observe(app, part)
    await client.delete("session:1")
    assert sessions(await client.get("session:1")) is None
    await client.set("session:1", b"")
    assert sessions(await client.get("session:1")) == b""
    part.cache("pages").hit()
    assert part.cache("sessions") is sessions
    assert await counted(app, "redis_cache_hits_total") == {"sessions": 1, "pages": 1}
    assert await counted(app, "redis_cache_misses_total") == {"sessions": 1, "pages": 0}
    obs.remove()
    sessions.miss()


async def test_nothing_is_left_to_the_garbage_collector(client: Any, observe: Observe) -> None:
    """A watched pipeline makes no cycles."""
    observe(FastAPI(), integrations.redis(client))
    await client.get("key")
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            await client.pipeline().get("key").execute()
        left = [one for one in gc.get_objects() if isinstance(one, redis.asyncio.client.Pipeline)]
    finally:
        gc.enable()
    assert left == []


async def test_spans(client: Any, observe: Observe, kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each operation is a span below the request's, with no key and no value; nobody else's spans are doubled."""
    app = FastAPI()

    @app.get("/session")
    async def session() -> None:
        await client.get("secret-key")
        await client.pipeline().get("secret-key").execute()
        with pytest.raises(redis.ResponseError):
            await client.execute_command("NONSENSE")

    observe(app, integrations.redis(client), tracing={"provider": kept.provider})
    await ask(app, path="/session")
    server = kept.one("GET /session")
    assert server.context is not None
    found = {name: kept.one(name) for name in ("GET", "PIPELINE", "NONSENSE")}
    for span in found.values():
        assert span.parent is not None
        assert span.parent.span_id == server.context.span_id
    options = client.connection_pool.connection_kwargs
    assert dict(found["GET"].attributes or {}) == {
        "db.system.name": "redis",
        "server.address": options["host"],
        "server.port": options["port"],
        "db.namespace": "0",
        "db.operation.name": "GET",
    }
    assert (found["NONSENSE"].attributes or {})["error.type"] == "ResponseError"

    module: Any = ModuleType("opentelemetry.instrumentation.redis")
    module.RedisInstrumentor = lambda: type("On", (), {"is_instrumented_by_opentelemetry": True})
    monkeypatch.setitem(sys.modules, module.__name__, module)
    kept.exporter.clear()
    await ask(app, path="/session")
    assert [span.name for span in kept.spans] == ["GET /session"]


def test_wrong_client() -> None:
    with pytest.raises(TypeError, match=r"integrations\.redis: str is no Redis of redis-py"):
        integrations.redis("redis://")  # type: ignore[arg-type]


def test_wrong_ping(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client, pytest.raises(TypeError, match=r"ping is what the check calls"):
        integrations.redis(client, ping="PING")  # type: ignore[arg-type]
