"""Clients of Redis, async and sync."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
import redis.asyncio

from belvedere import conventions, integrations
from tests.integrations.relay import Relay
from tests.integrations.subjects.subject import SECRET, Relays, Subject


async def redis_async(request: pytest.FixtureRequest, relays: Relays) -> Subject:
    relay, url = await behind_relay(request.getfixturevalue("redis_url"), relays)
    client = redis.asyncio.Redis.from_url(url)

    async def use() -> None:
        await client.get("conformance")

    return _of_redis(client, use, client.aclose, relay)


async def redis_sync(request: pytest.FixtureRequest, relays: Relays) -> Subject:
    relay, url = await behind_relay(request.getfixturevalue("redis_url"), relays)
    client = redis.Redis.from_url(url, socket_timeout=2.0)

    async def use() -> None:
        await asyncio.to_thread(client.get, "conformance")

    async def close() -> None:
        client.close()

    return _of_redis(client, use, close, relay)


async def behind_relay(url: str, relays: Relays) -> tuple[Relay, str]:
    """Have a user with a password, and a relay."""
    parts = urlsplit(url)
    admin: Any
    async with redis.asyncio.Redis.from_url(url) as admin:
        await admin.execute_command("ACL", "SETUSER", "watched", "on", f">{SECRET}", "~*", "&*", "+@all")
    relay = await relays(parts.hostname or "127.0.0.1", parts.port or 6379)
    return relay, f"redis://watched:{SECRET}@127.0.0.1:{relay.port}{parts.path}"


def _of_redis(client: Any, use: Any, close: Any, relay: Relay) -> Subject:
    return Subject(
        extra="belvedere[redis]",
        module="redis",
        absent="integrations.redis(None)",
        part=lambda **options: integrations.redis(client, **options),
        use=use,
        close=close,
        metrics=conventions.REDIS_METRICS,
        hooks=lambda: {name: vars(client).get(name) for name in ("execute_command", "pipeline")},
        relay=relay,
        details={"connected_clients", "used_memory_human"},
    )
