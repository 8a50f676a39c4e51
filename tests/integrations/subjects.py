"""What the conformance suite is run on: each integration, with something to do through it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import aioboto3
import boto3
import celery
import celery.signals
import httpx
import pytest
import redis
import redis.asyncio
import sentry_sdk
from botocore.config import Config
from elasticsearch import AsyncElasticsearch, Elasticsearch
from sqlalchemy import URL, create_engine, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from belvedere import conventions, integrations
from belvedere.integrations._elasticsearch.part import PERFORM
from belvedere.integrations._httpx.part import SEND
from belvedere.integrations._s3.clients import MADE
from tests.integrations.relay import Relay

SECRET = "s3cr3t-w0rd"
BUCKET = "videos"
READY: dict[str, Any] = {"critical": True, "probes": ("ready", "detailed")}
"""For those that do not say so by themselves."""

Relays = Callable[[str, int], Awaitable[Relay]]


@dataclass
class Subject:
    """One integration, connected.

    Args:
        extra: what is installed for it; none for what needs no library.
        module: the library, without which it is missing.
        part: makes a part with these options.
        use: does something through the library, and returns when it is done.
        close: lets go of all connections.
        metrics: the names that it has in the catalogue.
        hooks: returns what is installed in the library now.
        relay: stands before the server; `None` where there is none.
        checked: whether it has a check.
        shared: whether several parts may watch the same calls.
        waits: whether its driver waits for ever for a connection that was lost without a word.
    """

    extra: str
    module: str
    part: Callable[..., Any]
    use: Callable[[], Awaitable[None]]
    close: Callable[[], Awaitable[None]]
    metrics: tuple[conventions.MetricName, ...]
    hooks: Callable[[], Any]
    relay: Relay | None = None
    checked: bool = True
    shared: bool = True
    waits: bool = False
    absent: str = ""
    details: set[str] = field(default_factory=set)


@cache
def without_library(module: str, absent: str) -> str:
    """Return what a call says in a process that has no such library."""
    code = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from belvedere import integrations\n"
        f"try:\n    {absent}\nexcept ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return done.stdout.strip()


async def sqlalchemy_async(request: pytest.FixtureRequest, relays: Relays) -> Subject:
    relay, url = await _postgres(request, relays)
    engine = create_async_engine(url, pool_size=2, max_overflow=0, pool_pre_ping=True, connect_args={"timeout": 5})

    async def use() -> None:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    return _of_engine(engine, engine.sync_engine, use, engine.dispose, relay)


async def sqlalchemy_sync(request: pytest.FixtureRequest, relays: Relays) -> Subject:
    relay, url = await _postgres(request, relays)
    url = url.set(drivername="postgresql+psycopg")
    options: Any = {"connect_args": {"connect_timeout": 5}}
    engine = create_engine(url, pool_size=2, max_overflow=0, pool_pre_ping=True, **options)

    def ask() -> None:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    async def use() -> None:
        await asyncio.to_thread(ask)

    async def close() -> None:
        engine.dispose()

    return _of_engine(engine, engine, use, close, relay, waits=True)


async def _postgres(request: pytest.FixtureRequest, relays: Relays) -> tuple[Relay, URL]:
    """Have a password in the address, and a relay."""
    url = make_url(request.getfixturevalue("postgres_url"))
    relay = await relays(url.host or "127.0.0.1", url.port or 5432)
    return relay, url.set(host="127.0.0.1", port=relay.port, password=SECRET)


def _of_engine(engine: Any, watched: Any, use: Any, close: Any, relay: Relay, *, waits: bool = False) -> Subject:
    return Subject(
        extra="belvedere[sqlalchemy]",
        module="sqlalchemy",
        absent="integrations.sqlalchemy(None)",
        part=lambda **options: integrations.sqlalchemy(engine, **options),
        use=use,
        close=close,
        metrics=conventions.DATABASE_METRICS,
        hooks=lambda: _listeners(watched),
        relay=relay,
        waits=waits,
        details={"pool_size", "connections_in_use"},
    )


async def redis_async(request: pytest.FixtureRequest, relays: Relays) -> Subject:
    relay, url = await _redis(request.getfixturevalue("redis_url"), relays)
    client = redis.asyncio.Redis.from_url(url)

    async def use() -> None:
        await client.get("conformance")

    return _of_redis(client, use, client.aclose, relay)


async def redis_sync(request: pytest.FixtureRequest, relays: Relays) -> Subject:
    relay, url = await _redis(request.getfixturevalue("redis_url"), relays)
    client = redis.Redis.from_url(url, socket_timeout=2.0)

    async def use() -> None:
        await asyncio.to_thread(client.get, "conformance")

    async def close() -> None:
        client.close()

    return _of_redis(client, use, close, relay)


async def httpx_all(request: pytest.FixtureRequest, relays: Relays) -> Subject:
    relay, close = await _answers(relays)
    return _of_httpx(httpx.AsyncClient(), None, [httpx.Client, httpx.AsyncClient], relay, close)


async def httpx_one(request: pytest.FixtureRequest, relays: Relays) -> Subject:
    relay, close = await _answers(relays)
    client = httpx.AsyncClient()
    return _of_httpx(client, client, [client], relay, close)


async def _answers(relays: Relays) -> tuple[Relay, Callable[[], None]]:
    """Have a service that has nothing to say, and a relay."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, OSError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    return await relays(*server.sockets[0].getsockname()[:2]), server.close


def _of_httpx(
    client: httpx.AsyncClient,
    watched: httpx.AsyncClient | None,
    targets: list[Any],
    relay: Relay,
    end: Callable[[], None],
) -> Subject:
    async def use() -> None:
        await client.get(f"http://user:{SECRET}@127.0.0.1:{relay.port}/", params={"token": SECRET})

    async def close() -> None:
        await client.aclose()
        end()

    return Subject(
        extra="belvedere[httpx]",
        module="httpx",
        absent="integrations.httpx()",
        part=lambda **options: integrations.httpx(client=watched, **options),
        use=use,
        close=close,
        metrics=conventions.HTTP_CLIENT_METRICS,
        hooks=lambda: [vars(target).get(SEND) for target in targets],
        relay=relay,
        checked=False,
    )


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


async def elasticsearch_async(request: pytest.FixtureRequest, relays: Relays) -> Subject:
    url = await _elasticsearch(request, relays)
    client = AsyncElasticsearch(url[1], basic_auth=("watched", SECRET), request_timeout=2, max_retries=0)

    async def use() -> None:
        await client.options(ignore_status=404).get(index="videos", id="1")

    return _of_elasticsearch(client, use, client.close, url[0])


async def elasticsearch_sync(request: pytest.FixtureRequest, relays: Relays) -> Subject:
    url = await _elasticsearch(request, relays)
    client = Elasticsearch(url[1], basic_auth=("watched", SECRET), request_timeout=2, max_retries=0)

    async def use() -> None:
        await asyncio.to_thread(client.options(ignore_status=404).get, index="videos", id="1")

    async def close() -> None:
        client.close()

    return _of_elasticsearch(client, use, close, url[0])


async def ml(request: pytest.FixtureRequest, relays: Relays) -> Subject:
    parts: list[Any] = []

    def part(**options: Any) -> Any:
        parts.append(integrations.ml({"moderation": len}, **{**READY, **options}))
        return parts[-1]

    async def use() -> None:
        for one in parts:
            one.track("moderation")(len)("text")
            one.lookup("moderation")(len)("text")

    async def close() -> None:
        parts.clear()

    return Subject(
        extra="",
        module="",
        part=part,
        use=use,
        close=close,
        metrics=conventions.ML_METRICS,
        hooks=lambda: [one._predictions for one in parts if one._predictions is not None],
        shared=False,
        details={"loaded_models", "model_count"},
    )


async def celery_redis(request: pytest.FixtureRequest, relays: Relays) -> Subject:
    relay, url = await _redis(request.getfixturevalue("celery_worker"), relays)
    app = celery.Celery("conformance", broker=url, set_as_current=False)
    app.conf.task_publish_retry = False
    app.conf.broker_transport_options = {"socket_timeout": 1.0, "socket_connect_timeout": 1.0}

    def look() -> None:
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)

    task: Any = app.task(look, name="conformance.look", shared=False)

    async def use() -> None:
        # What is run here is seen here, and asks the broker.
        await asyncio.to_thread(lambda: task.apply().get())

    async def close() -> None:
        app.close()

    return Subject(
        extra="belvedere[celery]",
        module="celery",
        absent="integrations.celery(None)",
        part=lambda **options: integrations.celery(app, **{**READY, **options}),
        use=use,
        close=close,
        metrics=conventions.CELERY_METRICS,
        hooks=lambda: (vars(app).get("send_task"), [list(signal.receivers) for signal in _SIGNALS]),
        relay=relay,
        details={"worker_count", "active_tasks", "workers"},
    )


_SIGNALS = [
    celery.signals.before_task_publish,
    celery.signals.task_received,
    celery.signals.task_prerun,
    celery.signals.task_postrun,
    celery.signals.task_failure,
    celery.signals.task_revoked,
]


async def sentry(request: pytest.FixtureRequest, relays: Relays) -> Subject:
    class Full(sentry_sdk.Transport):
        def capture_envelope(self, envelope: Any) -> None:
            self.record_lost_event("queue_overflow", data_category="error")

    async def use() -> None:
        if sentry_sdk.is_initialized():
            sentry_sdk.capture_message(SECRET)

    async def close() -> None:
        assert not sentry_sdk.is_initialized()

    return Subject(
        extra="belvedere[sentry]",
        module="sentry_sdk",
        absent="integrations.sentry('http://key@localhost/7')",
        part=lambda **options: integrations.sentry(f"http://{SECRET}@127.0.0.1:9/7", transport=Full, **options),
        use=use,
        close=close,
        metrics=conventions.SENTRY_METRICS,
        hooks=lambda: (sentry_sdk.is_initialized(), sentry_sdk.get_client().options["before_send"]),
        checked=False,
        shared=False,
    )


async def _redis(url: str, relays: Relays) -> tuple[Relay, str]:
    """Have a user with a password, and a relay."""
    parts = urlsplit(url)
    admin: Any
    async with redis.asyncio.Redis.from_url(url) as admin:
        await admin.execute_command("ACL", "SETUSER", "watched", "on", f">{SECRET}", "~*", "&*", "+@all")
    relay = await relays(parts.hostname or "127.0.0.1", parts.port or 6379)
    return relay, f"redis://watched:{SECRET}@127.0.0.1:{relay.port}{parts.path}"


async def _elasticsearch(request: pytest.FixtureRequest, relays: Relays) -> tuple[Relay, str]:
    """Have a relay before a real server, or before what answers as one does; return it and its URL."""
    url = os.environ.get("ELASTICSEARCH_URL") and request.getfixturevalue("elasticsearch_url")
    parts = urlsplit(url or request.getfixturevalue("cluster").url)
    relay = await relays(parts.hostname or "127.0.0.1", parts.port or 9200)
    return relay, f"http://127.0.0.1:{relay.port}"


def _of_elasticsearch(client: Any, use: Any, close: Any, relay: Relay) -> Subject:
    base = next(one for one in type(client).__mro__ if PERFORM in vars(one))
    return Subject(
        extra="belvedere[elasticsearch]",
        module="elasticsearch",
        absent="integrations.elasticsearch(None)",
        part=lambda **options: integrations.elasticsearch(client, **{**READY, **options}),
        use=use,
        close=close,
        metrics=conventions.ELASTICSEARCH_METRICS,
        hooks=lambda: vars(base)[PERFORM],
        relay=relay,
        details={"cluster_status", "number_of_nodes"},
    )


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


def _listeners(engine: Any) -> list[Any]:
    names = ("before_cursor_execute", "after_cursor_execute", "engine_disposed")
    pool = ("connect", "checkout", "checkin", "close", "detach")
    return [
        *(list(getattr(engine.dispatch, name)) for name in names),
        *(list(getattr(engine.pool.dispatch, name)) for name in pool),
        list(engine.dialect.dispatch.handle_error),
    ]


SUBJECTS = {
    "sqlalchemy-async": sqlalchemy_async,
    "sqlalchemy-sync": sqlalchemy_sync,
    "redis-async": redis_async,
    "redis-sync": redis_sync,
    "httpx-all": httpx_all,
    "httpx-one": httpx_one,
    "s3-async": s3_async,
    "s3-sync": s3_sync,
    "s3-session": s3_session,
    "elasticsearch-async": elasticsearch_async,
    "elasticsearch-sync": elasticsearch_sync,
    "ml": ml,
    "celery": celery_redis,
}

if "ALONE" in os.environ:
    # What Sentry's SDK patches in other libraries stays patched: it has a process of its own.
    SUBJECTS = {"sentry": sentry}
