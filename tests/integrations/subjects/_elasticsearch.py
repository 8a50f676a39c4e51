"""Clients of Elasticsearch, async and sync."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

import pytest
from elasticsearch import AsyncElasticsearch, Elasticsearch

from belvedere import conventions, integrations
from belvedere.integrations._elasticsearch.part import PERFORM
from tests.backends.addresses import address
from tests.integrations.relay import Relay
from tests.integrations.subjects.subject import READY, SECRET, Relays, Subject


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


async def _elasticsearch(request: pytest.FixtureRequest, relays: Relays) -> tuple[Relay, str]:
    """Have a relay before a real server, or before what answers as one does; return it and its URL."""
    url = address("ELASTICSEARCH_URL") and request.getfixturevalue("elasticsearch_url")
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
