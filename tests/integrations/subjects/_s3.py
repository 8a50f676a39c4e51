"""Clients of S3, async and sync, and a session that makes them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

import aioboto3
import boto3
import pytest
from botocore.config import Config

from belvedere import conventions, integrations
from belvedere.integrations._s3.clients import MADE
from tests.integrations.relay import Relay
from tests.integrations.subjects.subject import READY, SECRET, Relays, Subject

BUCKET = "videos"


async def s3_async(request: pytest.FixtureRequest, relays: Relays) -> Subject:
    relay, options = await _s3(request, relays)
    stack = AsyncExitStack()
    client = await stack.enter_async_context(aioboto3.Session().client("s3", **options))

    async def use() -> None:
        await client.list_objects_v2(Bucket=BUCKET)

    return _of_s3(client, use, stack.aclose, relay, lambda: vars(client).get("_make_api_call"))


async def s3_sync(request: pytest.FixtureRequest, relays: Relays) -> Subject:
    relay, options = await _s3(request, relays)
    client = boto3.Session().client("s3", **options)

    async def use() -> None:
        await asyncio.to_thread(client.list_objects_v2, Bucket=BUCKET)

    async def close() -> None:
        client.close()

    return _of_s3(client, use, close, relay, lambda: vars(client).get("_make_api_call"))


async def s3_session(request: pytest.FixtureRequest, relays: Relays) -> Subject:
    relay, options = await _s3(request, relays)
    session = aioboto3.Session()

    async def use() -> None:
        async with session.client("s3", **options) as client:
            await client.list_objects_v2(Bucket=BUCKET)

    async def close() -> None:
        """Do nothing: each use closes what it has opened."""

    def part(**given: Any) -> Any:
        return integrations.s3(session, BUCKET, options=options, **{**READY, **given})

    emitter: Any = session.events
    subject = _of_s3(None, use, close, relay, lambda: list(emitter._emitter._handlers.prefix_search(MADE)))
    subject.part = part
    return subject


async def _s3(request: pytest.FixtureRequest, relays: Relays) -> tuple[Relay, dict[str, Any]]:
    """Have a bucket, and a relay; return what a client of it is made with."""
    url = request.getfixturevalue("s3_url")
    parts = urlsplit(url)
    relay = await relays(parts.hostname or "127.0.0.1", parts.port or 80)
    options = {"region_name": "us-east-1", "aws_access_key_id": "watched", "aws_secret_access_key": SECRET}
    client = boto3.Session().client("s3", **options, endpoint_url=url)
    await asyncio.to_thread(client.create_bucket, Bucket=BUCKET)
    client.close()
    # By itself it tries again for up to 15 seconds.
    once = Config(read_timeout=2, connect_timeout=2, retries={"total_max_attempts": 1})
    return relay, {**options, "endpoint_url": f"http://127.0.0.1:{relay.port}", "config": once}


def _of_s3(client: Any, use: Any, close: Any, relay: Relay, hooks: Callable[[], Any]) -> Subject:
    return Subject(
        extra="belvedere[s3]",
        module="botocore",
        absent="integrations.s3(None, bucket='videos')",
        part=lambda **options: integrations.s3(client, BUCKET, **{**READY, **options}),
        use=use,
        close=close,
        metrics=conventions.S3_METRICS,
        hooks=hooks,
        relay=relay,
        details={"bucket", "region"},
    )
