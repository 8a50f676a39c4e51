"""Elasticsearch: what its check tells, which calls are counted and traced, and that no query is shown.

Some run on a real server alone (`ELASTICSEARCH_URL`); what is wrong with a cluster, a server of the
tests' own tells.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest
from elasticsearch import ApiError, AsyncElasticsearch, Elasticsearch, NotFoundError, helpers
from fastapi import FastAPI

from belvedere import integrations
from belvedere.integrations._elasticsearch.requests import NAMES
from tests.drive import ask, samples
from tests.integrations.cluster import HEALTH, Cluster
from tests.integrations.conftest import Lines, Observe
from tests.tracing.conftest import Kept

TIMEOUT = 0.5
PROMPT = 5.0
"""Seconds of a check that its time-out has ended, on a busy machine too: by itself the client would take 60."""


@pytest.fixture
async def client(cluster: Cluster) -> AsyncIterator[AsyncElasticsearch]:
    async with AsyncElasticsearch(cluster.url) as made:
        yield made


@pytest.fixture
def sync_client(cluster: Cluster) -> Iterator[Elasticsearch]:
    with Elasticsearch(cluster.url) as made:
        yield made


@pytest.fixture
async def real(elasticsearch_url: str, index: str) -> AsyncIterator[AsyncElasticsearch]:
    """A client of a real server; the index is gone afterwards."""
    async with AsyncElasticsearch(elasticsearch_url) as made:
        yield made
        await made.options(ignore_status=404).indices.delete(index=index)


@pytest.fixture
def index() -> str:
    """The name of an index that nobody else has."""
    return f"videos-{uuid4().hex}"


async def counted(app: FastAPI, name: str = "elasticsearch_operations_total") -> dict[str, float]:
    """Scrape; return the counts by their one label."""
    return {text.split('"')[1]: value for text, value in (await samples(app, name)).items()}


async def told(app: FastAPI) -> dict[str, Any]:
    """Ask the detailed probe; return the check without its latency."""
    answer = await ask(app, path="/detailed")
    found: dict[str, Any] = answer.json()["checks"]["elasticsearch"]
    assert found.pop("latency_ms") > 0
    return found


FAILED = {"status": "unhealthy", "error": "Elasticsearch connection failed"}


async def test_check(cluster: Cluster, client: Any, sync_client: Any, observe: Observe, lines: Lines) -> None:
    """It tells the cluster's status and how many nodes there are; yellow passes, red does not, and neither counts as
    a call of the application."""
    for given in (client, sync_client):
        app = FastAPI()
        obs = observe(app, integrations.elasticsearch(given))
        for status in ("green", "yellow"):
            cluster.status = status
            assert await told(app) == {"status": "healthy", "cluster_status": status, "number_of_nodes": 3}
        cluster.status = "red"
        assert await told(app) == FAILED
        (line,) = lines("check_failed")
        assert line["reason"] == "RedError"
        assert (await ask(app, path="/readyz")).json()["checks"] == {}
        assert await counted(app) == {}
        obs.remove()


async def test_a_user_who_may_not_ask(cluster: Cluster, client: Any, sync_client: Any, observe: Observe) -> None:
    """Where the health is forbidden, that the server knows the user is enough; one whom it does not know is refused."""
    for given in (client, sync_client):
        app = FastAPI()
        obs = observe(app, integrations.elasticsearch(given))
        cluster.refused = {HEALTH: 403}
        assert await told(app) == {"status": "healthy"}
        assert cluster.asked[-2:] == [f"GET {HEALTH}", "HEAD /"]
        cluster.refused = {HEALTH: 403, "/": 403}
        assert await told(app) == {"status": "healthy"}
        for refusal in ({HEALTH: 401}, {HEALTH: 403, "/": 401}, {HEALTH: 503}, {HEALTH: 403, "/": 503}):
            cluster.refused = refusal
            assert await told(app) == FAILED
        obs.remove()


async def test_a_server_that_hangs(cluster: Cluster, observe: Observe, relay: Any) -> None:
    """A sync client's check keeps its thread for no longer than its time-out, whatever the client itself would do."""
    hanging = await relay("127.0.0.1", int(cluster.url.rpartition(":")[2]))
    hanging.hang()
    app = FastAPI()
    with Elasticsearch(f"http://127.0.0.1:{hanging.port}", max_retries=5, retry_on_timeout=True) as client:
        observe(app, integrations.elasticsearch(client, timeout=TIMEOUT))
        began = time.monotonic()
        assert await told(app) == FAILED
        assert time.monotonic() - began < PROMPT
        while any(thread.name == "belvedere-check-elasticsearch" for thread in threading.enumerate()):
            assert time.monotonic() - began < 2 * PROMPT
            await asyncio.sleep(0.02)


async def test_calls(cluster: Cluster, client: Any, observe: Observe) -> None:
    """Each call is counted and timed under its endpoint's name: of namespaces, of clients that `options` makes, failed
    ones; those of other clients are not."""
    app = FastAPI()
    obs = observe(app, integrations.elasticsearch(client))
    await client.search(index="videos", query={"match_all": {}})
    patient = client.options(request_timeout=30)
    await patient.search(index="videos", q="title:x")
    await patient.indices.create(index="videos")
    cluster.refused = {"/videos/_doc/1": 400}
    with pytest.raises(ApiError):
        await client.get(index="videos", id="1")
    await client.perform_request("GET", "/_cat/secret-index", headers={"accept": "application/json"})
    for number in range(NAMES + 20):
        await client.perform_request("GET", "/x", headers={"accept": "application/json"}, endpoint_id=f"x.{number}")
    async with AsyncElasticsearch(cluster.url) as other:
        await other.search(index="videos")
    counts = await counted(app)
    assert {name: count for name, count in counts.items() if not name.startswith("x.")} == {
        "search": 2,
        "indices.create": 1,
        "get": 1,
        "OTHER": 1 + NAMES + 20 - (NAMES - 4),
    }
    assert len(counts) == NAMES
    assert await counted(app, "elasticsearch_operation_duration_seconds_count") == counts
    obs.remove()
    await patient.search(index="videos")


def test_sync_client(cluster: Cluster, sync_client: Any, observe: Observe) -> None:
    """A sync client alike, its helpers included."""
    app = FastAPI()
    observe(app, integrations.elasticsearch(sync_client))
    sync_client.options(max_retries=0).search(index="videos")
    assert sync_client.count(index="videos")
    cluster.refused = {"/_bulk": 400}
    with pytest.raises(ApiError):
        helpers.bulk(sync_client, [{"_index": "videos", "_id": "1", "title": "x"}])
    assert asyncio.run(counted(app)) == {"search": 1, "count": 1, "bulk": 1}


async def test_spans(cluster: Cluster, observe: Observe, kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call is one span below the request's, though the library would make one as well, with the index, and
    neither query nor id nor what a server says; while OpenTelemetry's instrumentation is on, there is none of ours."""
    # As where a provider is set for the whole process, and the application asks the library to show queries.
    monkeypatch.setattr("elasticsearch._otel._tracer", kept.provider.get_tracer("elasticsearch-api"))
    monkeypatch.setenv("OTEL_PYTHON_INSTRUMENTATION_ELASTICSEARCH_CAPTURE_SEARCH_QUERY", "raw")
    client = AsyncElasticsearch(cluster.url)
    app = FastAPI()

    @app.get("/search")
    async def search() -> None:
        await client.search(index="videos", query={"match": {"title": "secret-words"}}, q="secret-words")
        with pytest.raises(NotFoundError):
            await client.options(request_timeout=5).get(index="videos", id="secret-id")

    cluster.refused = {"/videos/_doc/secret-id": 404}
    await client.search(index="videos")
    assert [span.name for span in kept.spans] == ["search"]
    kept.exporter.clear()
    obs = observe(app, integrations.elasticsearch(client), tracing={"provider": kept.provider})
    await ask(app, path="/search")
    server = kept.one("GET /search").context
    assert server is not None
    assert sorted(span.name for span in kept.spans) == ["GET /search", "get", "search"]
    for name in ("search", "get"):
        parent = kept.one(name).parent
        assert parent is not None
        assert parent.span_id == server.span_id
    expected = {
        "db.system.name": "elasticsearch",
        "db.operation.name": "search",
        "db.collection.name": "videos",
        "http.request.method": "POST",
        "db.response.status_code": "200",
        "server.address": "127.0.0.1",
        "server.port": int(cluster.url.rpartition(":")[2]),
    }
    assert dict(kept.one("search").attributes or {}) == expected
    failed = kept.one("get").attributes or {}
    assert (failed["error.type"], failed["db.response.status_code"]) == ("NotFoundError", "404")
    assert [span.name for span in kept.spans if "secret" in span.to_json() or "s3cr3t" in span.to_json()] == []

    module: Any = ModuleType("opentelemetry.instrumentation.elasticsearch")
    module.ElasticsearchInstrumentor = lambda: type("On", (), {"is_instrumented_by_opentelemetry": True})
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for installed in (True, False):
        # Then it is the library's own again.
        kept.exporter.clear()
        await client.search(index="videos")
        (span,) = kept.spans
        assert "url.full" in (span.attributes or {})
        if installed:
            obs.remove()
    await client.close()


async def test_a_real_server(real: Any, index: str, observe: Observe, kept: Kept) -> None:
    """Documents are written, found and deleted on a real Elasticsearch: check, counts and spans of that."""
    app = FastAPI()
    observe(app, integrations.elasticsearch(real), tracing={"provider": kept.provider})
    assert (await told(app)).items() >= {"status": "healthy", "number_of_nodes": 1}.items()
    await real.indices.create(index=index, mappings={"properties": {"title": {"type": "text"}}})
    await real.index(index=index, id="1", document={"title": "one"}, refresh=True)
    done, _ = await helpers.async_bulk(real, [{"_index": index, "title": str(number)} for number in range(3)])
    assert done == 3
    await real.indices.refresh(index=index)
    found = await real.search(index=index, query={"match": {"title": "one"}})
    assert found["hits"]["total"]["value"] == 1
    assert not await real.exists(index=index, id="none")
    with pytest.raises(NotFoundError):
        await real.options(request_timeout=5).get(index=index, id="none")
    expected = {"indices.create": 1, "index": 1, "bulk": 1, "indices.refresh": 1, "search": 1, "exists": 1, "get": 1}
    assert await counted(app) == expected
    own = {span.name: span for span in kept.spans if not span.name.startswith("helpers.")}
    assert own.keys() == expected.keys()
    assert (own["get"].attributes or {})["db.response.status_code"] == "404"


async def test_a_real_server_and_a_sync_client(real: Any, elasticsearch_url: str, index: str, observe: Observe) -> None:
    app = FastAPI()
    with Elasticsearch(elasticsearch_url) as client:
        observe(app, integrations.elasticsearch(client))
        await asyncio.to_thread(client.index, index=index, document={"title": "one"}, refresh=True)
        found = await asyncio.to_thread(client.search, index=index)
        assert found["hits"]["total"]["value"] == 1
        check = await told(app)
    assert check.pop("cluster_status") in {"green", "yellow"}
    assert check == {"status": "healthy", "number_of_nodes": 1}
    assert await counted(app) == {"index": 1, "search": 1}


def test_wrong_client() -> None:
    with pytest.raises(TypeError, match=r"integrations\.elasticsearch: str is no client of elasticsearch-py"):
        integrations.elasticsearch("http://localhost:9200")  # type: ignore[arg-type]
