"""What Belvedere asks Elasticsearch itself, past what counts the application's calls: how the cluster does."""

from __future__ import annotations

from typing import Any

from elastic_transport import OpenTelemetrySpan
from elasticsearch import AsyncElasticsearch, AuthorizationException

TIMEOUT = 2.0
"""Seconds that an answer may take where neither the check nor the application has a time-out."""
_HEALTH = ("GET", "/_cluster/health")
_PING = ("HEAD", "/")
RED = "red"


class RedError(Exception):
    """Some data of the cluster cannot be reached."""


class Asking:
    """Asks a cluster for its health, once and in time.

    Args:
        client: of the application.
    """

    def __init__(self, client: Any) -> None:
        self.timeout: float | None = None
        self._client = client
        self.call = self._ask if isinstance(client, AsyncElasticsearch) else self._ask_in_thread

    async def _ask(self) -> dict[str, Any]:
        client = self._once()
        try:
            return _details(await client._perform_request(*_HEALTH, **_options()))
        except AuthorizationException:
            try:
                await client._perform_request(*_PING, **_options())
            except AuthorizationException:
                pass  # who it is was asked and answered
            return {}

    def _ask_in_thread(self) -> dict[str, Any]:
        client = self._once()
        try:
            return _details(client._perform_request(*_HEALTH, **_options()))
        except AuthorizationException:
            try:
                client._perform_request(*_PING, **_options())
            except AuthorizationException:
                pass  # who it is was asked and answered
            return {}

    def _once(self) -> Any:
        """Return a client over the same connections that tries once: a thread cannot be cancelled."""
        timeout = self.timeout or TIMEOUT
        return self._client.options(request_timeout=timeout, max_retries=0, retry_on_status=(), retry_on_timeout=False)


def _options() -> dict[str, Any]:
    # Below what is counted, and what the library makes spans of.
    return {"headers": {"accept": "application/json"}, "otel_span": OpenTelemetrySpan(None)}


def _details(health: Any) -> dict[str, Any]:
    if health.get("status") == RED:
        raise RedError
    # `status` is the check's own.
    return {"cluster_status": health.get("status"), "number_of_nodes": health.get("number_of_nodes")}
