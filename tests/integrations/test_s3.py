"""S3: which operations are timed and traced, whose clients are seen, and what the check asks of which bucket."""

from __future__ import annotations

import asyncio
import io
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from types import ModuleType
from typing import Any

import aioboto3
import aiobotocore.session
import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.model import OperationNotFoundError
from fastapi import FastAPI

from belvedere import integrations
from tests.drive import ask, running, samples
from tests.integrations.conftest import Lines, Observe
from tests.tracing.conftest import Kept

SECRET = "s3cr3t-w0rd"


@pytest.fixture
def options(s3_url: str) -> dict[str, Any]:
    """What a client of the server is made with."""
    return {
        "endpoint_url": s3_url,
        "region_name": "us-east-1",
        "aws_access_key_id": "watched",
        "aws_secret_access_key": SECRET,
    }


@pytest.fixture
def client(options: dict[str, Any]) -> Iterator[Any]:
    """A sync client, and the bucket `videos`."""
    made = boto3.Session().client("s3", **options)
    made.create_bucket(Bucket="videos")
    yield made
    made.close()


@pytest.fixture
async def async_client(client: Any, options: dict[str, Any]) -> AsyncIterator[Any]:
    async with aioboto3.Session().client("s3", **options) as made:
        yield made


async def timed(app: FastAPI) -> dict[str, float]:
    """Scrape; return how many operations of which name were timed."""
    found = await samples(app, "s3_operation_duration_seconds_count")
    return {text.split('"')[1]: value for text, value in found.items()}


async def check(app: FastAPI, path: str = "/detailed") -> Any:
    return (await ask(app, path=path)).json()["checks"]["s3"]


# aiohttp about the client's own parts of 5 MiB.
@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_operations(async_client: Any, observe: Observe) -> None:
    """Each call of the API is timed under its name, failed ones and those of a transfer too."""
    app = FastAPI()
    observe(app, integrations.s3(async_client, bucket="videos"))
    await async_client.put_object(Bucket="videos", Key="a", Body=b"x")
    answer = await async_client.get_object(Bucket="videos", Key="a")
    assert await answer["Body"].read() == b"x"
    with pytest.raises(ClientError, match="NoSuchKey"):
        await async_client.get_object(Bucket="videos", Key="none")
    parts = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)
    await async_client.upload_fileobj(io.BytesIO(bytes(6 << 20)), "videos", "big", Config=parts)
    await async_client.generate_presigned_url("get_object", Params={"Bucket": "videos", "Key": "a"})
    counts = await timed(app)
    assert counts.pop("UploadPart") >= 2
    assert counts == {"PutObject": 1, "GetObject": 2, "CreateMultipartUpload": 1, "CompleteMultipartUpload": 1}


def test_sync_client(client: Any, observe: Observe) -> None:
    """A sync client alike, its transfers in threads included; what the check asks is not counted."""
    app = FastAPI()
    observe(app, integrations.s3(client, bucket="videos"))
    client.upload_fileobj(io.BytesIO(b"x"), "videos", "a")
    into = io.BytesIO()
    client.download_fileobj("videos", "a", into)
    assert into.getvalue() == b"x"
    with pytest.raises(ClientError):
        client.delete_bucket(Bucket="none")
    with pytest.raises(OperationNotFoundError):
        client._make_api_call("Nonsense", {})
    assert asyncio.run(check(app))["status"] == "healthy"
    expected = {"PutObject": 1, "HeadObject": 1, "GetObject": 1, "DeleteBucket": 1, "OTHER": 1}
    assert {name: count for name, count in asyncio.run(timed(app)).items() if count} == expected


async def test_check(async_client: Any, client: Any, observe: Observe, lines: Lines) -> None:
    """It tells the bucket and the bucket's own region; it is not critical, and no probe but the detailed one has it."""
    with suppress(client.exceptions.BucketAlreadyOwnedByYou):
        client.create_bucket(Bucket="elsewhere", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    for given in (client, async_client):
        app = FastAPI()
        observe(app, integrations.s3(given, bucket="elsewhere"))
        told = await check(app)
        assert told.pop("latency_ms") > 0
        assert told == {"status": "healthy", "bucket": "elsewhere", "region": "eu-west-1"}
        assert (await ask(app, path="/readyz")).json()["checks"] == {}


async def test_a_bucket_that_is_not_there(async_client: Any, client: Any, observe: Observe, lines: Lines) -> None:
    """It fails, and says nothing of what S3 says; the service is degraded."""
    for given in (client, async_client):
        app = FastAPI()
        observe(app, integrations.s3(given, bucket="none"))
        answer = await ask(app, path="/detailed")
        assert (answer.status, answer.json()["status"]) == (200, "degraded")
        told = answer.json()["checks"]["s3"]
        assert told.pop("latency_ms") > 0
        assert told == {"status": "unhealthy", "error": "S3 connection failed"}


@pytest.mark.parametrize("mode", ["legacy", "standard", "adaptive"])
async def test_retries_do_not_lengthen_the_check(
    options: dict[str, Any], observe: Observe, relay: Any, mode: Any
) -> None:
    """A server that refuses connections is away at once, however often the client itself would try again; one that
    hangs keeps a thread for no longer than the check's time-out, and the client's calls are tried again as before."""
    gone = await relay("127.0.0.1", int(options["endpoint_url"].rpartition(":")[2]))
    await gone.down()
    options = {**options, "endpoint_url": f"http://127.0.0.1:{gone.port}"}
    again = {"mode": mode, "total_max_attempts": 4}
    client = boto3.Session().client("s3", **options, config=Config(retries=again))
    async with aioboto3.Session().client("s3", **options, config=Config(retries=again)) as async_client:
        for given in (client, async_client):
            app = FastAPI()
            observe(app, integrations.s3(given, bucket="videos", timeout=20))
            took: list[float] = []
            while len(took) < 3 and not any(each < 1 for each in took):  # on a busy machine not each time
                began = time.monotonic()
                assert (await check(app))["status"] == "unhealthy"
                took.append(time.monotonic() - began)
            # Three pauses of up to 1, 2 and 4 seconds are not in it.
            assert min(took) < 1
    await gone.up()
    gone.hang()
    app = FastAPI()
    observe(app, integrations.s3(client, bucket="videos", timeout=0.5))
    began = time.monotonic()
    assert (await check(app))["status"] == "unhealthy"
    assert time.monotonic() - began < 10  # by itself the client would take minutes
    while any(thread.name == "belvedere-check-s3" for thread in threading.enumerate()):
        assert time.monotonic() - began < 20
        await asyncio.sleep(0.02)
    assert client.meta.events._emitter._unique_id_handlers.keys() >= {"retry-config-s3"}
    client.close()


async def test_a_session(client: Any, options: dict[str, Any], observe: Observe) -> None:
    """All S3 clients that a session makes from then on are seen, sync and async; uninstalled, they do as before."""
    for session in (aioboto3.Session(), aiobotocore.session.get_session()):
        app = FastAPI()
        make = getattr(session, "create_client", None) or session.client
        obs = observe(app, integrations.s3(session, bucket="videos", options=options))
        async with running(app):
            for _ in range(2):
                async with make("s3", **options) as made:
                    await made.list_objects_v2(Bucket="videos")
            async with make("sqs", **options):
                pass
            assert (await check(app))["status"] == "healthy"
            assert await timed(app) == {"ListObjectsV2": 2}
        async with make("s3", **options) as made:
            obs.remove()
            assert await made.list_objects_v2(Bucket="videos")
    app = FastAPI()
    sync = boto3.Session()
    observe(app, integrations.s3(sync, bucket="videos", options=options))
    for runs in (1, 2):
        sync.client("s3", **options).list_objects_v2(Bucket="videos")
        assert (await check(app))["status"] == "healthy"
        async with running(app):
            assert (await check(app))["status"] == "healthy"
        assert await timed(app) == {"ListObjectsV2": runs}


async def test_a_client_of_the_lifespan(client: Any, options: dict[str, Any], observe: Observe) -> None:
    """A client that the application opens when it starts is seen by a callable that returns it."""
    session = aioboto3.Session()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with session.client("s3", **options) as made:
            app.state.s3 = made
            yield

    app = FastAPI(lifespan=lifespan)
    observe(app, integrations.s3(lambda: app.state.s3, bucket="videos"))
    assert (await check(app))["status"] == "unhealthy"
    for runs in (1, 2):
        async with running(app):
            await app.state.s3.list_objects_v2(Bucket="videos")
            assert (await check(app))["status"] == "healthy"
            assert await timed(app) == {"ListObjectsV2": runs}


async def test_a_client_that_belvedere_opens(client: Any, options: dict[str, Any], observe: Observe) -> None:
    """What a callable returns unopened is opened at the start, closed at the end, and there for the application."""
    app = FastAPI()
    videos = integrations.s3(lambda: aioboto3.Session().client("s3", **options), bucket="videos")
    observe(app, videos)
    async with running(app):
        await videos.client.list_objects_v2(Bucket="videos")
        assert (await check(app))["status"] == "healthy"
        assert await timed(app) == {"ListObjectsV2": 1}
    assert videos.client is None


async def test_a_sync_client_of_a_callable(client: Any, observe: Observe) -> None:
    """A callable may return a sync client; without a lifespan, the first check calls it."""
    app = FastAPI()
    observe(app, integrations.s3(lambda: client, bucket="videos"))
    assert (await check(app))["status"] == "healthy"
    await asyncio.to_thread(client.list_objects_v2, Bucket="videos")
    assert await timed(app) == {"ListObjectsV2": 1}


async def test_spans(
    async_client: Any, client: Any, observe: Observe, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each operation is a span below the request's, with the bucket and no key; nobody else's spans are doubled."""
    app = FastAPI()

    @app.get("/async")
    async def endpoint() -> None:
        await async_client.put_object(Bucket="videos", Key="secret-key", Body=b"secret-body")
        with pytest.raises(ClientError):
            await async_client.get_object(Bucket="videos", Key="secret-none")

    @app.get("/sync")
    def sync_endpoint() -> None:
        client.list_buckets()

    observe(app, integrations.s3(async_client, bucket="videos"), tracing={"provider": kept.provider})
    observe(FastAPI(), integrations.s3(client, bucket="videos"), tracing={"provider": kept.provider})
    await ask(app, path="/async")
    await ask(app, path="/sync")
    put, get, buckets = (kept.one(name) for name in ("S3.PutObject", "S3.GetObject", "S3.ListBuckets"))
    for span, path in ((put, "async"), (get, "async"), (buckets, "sync")):
        server = kept.one(f"GET /{path}").context
        assert span.parent is not None
        assert server is not None
        assert span.parent.span_id == server.span_id
    found = dict(put.attributes or {})
    assert found.pop("aws.request_id")
    assert found == {
        "rpc.system.name": "aws-api",
        "rpc.system": "aws-api",
        "rpc.service": "S3",
        "rpc.method": "PutObject",
        "aws.s3.bucket": "videos",
        "cloud.region": "us-east-1",
        "server.address": "127.0.0.1",
        "server.port": int(client.meta.endpoint_url.rpartition(":")[2]),
        "http.response.status_code": 200,
    }
    failed = get.attributes or {}
    assert (failed["error.type"], failed["http.response.status_code"]) == ("NoSuchKey", 404)
    assert [span for span in kept.spans if "secret" in span.to_json() or SECRET in span.to_json()] == []

    on = type("On", (), {"is_instrumented_by_opentelemetry": True})
    module: Any = ModuleType("opentelemetry.instrumentation.botocore")
    module.BotocoreInstrumentor = module.AiobotocoreInstrumentor = on
    monkeypatch.setitem(sys.modules, module.__name__, module)
    kept.exporter.clear()
    await ask(app, path="/async")
    await ask(app, path="/sync")
    assert [span.name for span in kept.spans] == ["GET /async", "GET /sync"]


async def test_wrong_arguments(options: dict[str, Any]) -> None:
    """What is none of these is refused at the call, with what to give instead."""
    with pytest.raises(TypeError, match=r"integrations\.s3: str is no client, no session and no callable"):
        integrations.s3("s3://videos", bucket="videos")
    with pytest.raises(TypeError, match="not of sqs"):
        integrations.s3(boto3.Session().client("sqs", **options), bucket="videos")
    with pytest.raises(TypeError, match="bucket is the name of one, not ''"):
        integrations.s3(boto3.Session(), bucket="")
    with pytest.raises(TypeError, match="options are for a session"):
        integrations.s3(lambda: None, bucket="videos", options=options)
    unopened = aioboto3.Session().client("s3", **options)
    with pytest.raises(TypeError, match="give the session where aioboto3's clients are not open yet"):
        integrations.s3(unopened, bucket="videos")
    async with unopened:
        pass
