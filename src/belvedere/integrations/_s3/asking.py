"""What Belvedere asks S3 itself: whether a bucket is there; asked once, and past what times the application's calls."""

from __future__ import annotations

import copy
from typing import Any

from botocore.client import BaseClient
from botocore.endpoint import EndpointCreator

from belvedere.integrations._s3.clients import CALL, Clients
from belvedere.integrations._s3.kinds import is_async

TIMEOUT = 2.0
"""Seconds of a sync client's call where neither the check nor the application has a time-out."""
_RETRIES = ("needs-retry.s3", "retry-config-s3")
"""The event, and who decides there that something is tried again; who follows a bucket to its region stays."""


class Asking:
    """Asks for one bucket.

    Args:
        clients: has the client, or makes it.
        bucket: its name.
    """

    def __init__(self, clients: Clients, bucket: str) -> None:
        self.timeout: float | None = None
        self._clients = clients
        self._bucket = bucket
        self._own: tuple[Any, Any] = (None, None)
        # A check's call is one for the loop or one for a thread, which may return what is to be awaited on the loop.
        self.call = self._ask if clients.on_loop else self._ask_in_thread

    def forget(self) -> None:
        """Close what was opened to ask."""
        client, own = self._own
        self._own = (None, None)
        if own is not None and not is_async(client):
            own.close()

    async def _ask(self) -> dict[str, Any]:
        return await self._ask_async(self._clients.client or self._clients.make())

    def _ask_in_thread(self) -> Any:
        client = self._clients.client or self._clients.make()
        if not isinstance(client, BaseClient) or is_async(client):
            return self._ask_async(client)
        if client is not self._clients.client:
            self._clients.use(client)
        return self._details(client, getattr(BaseClient, CALL)(*self._call(client)))

    async def _ask_async(self, client: Any) -> dict[str, Any]:
        from aiobotocore.client import AioBaseClient

        if not isinstance(client, BaseClient):
            # The application has not started, or that failed: nobody would close what stays open.
            async with client as opened:
                return self._details(opened, await getattr(AioBaseClient, CALL)(*self._call(opened)))
        if client is not self._clients.client:
            self._clients.use(client)
        return self._details(client, await getattr(AioBaseClient, CALL)(*self._call(client)))

    def _call(self, client: Any) -> tuple[Any, str, dict[str, str]]:
        if self._own[0] is not client:
            self._own = (client, _impatient(client, self.timeout or TIMEOUT))
        return self._own[1], "HeadBucket", {"Bucket": self._bucket}

    def _details(self, client: Any, answer: Any) -> dict[str, Any]:
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        region = answer.get("BucketRegion") or headers.get("x-amz-bucket-region") or client.meta.region_name
        return {"bucket": self._bucket, "region": region}


def _impatient(client: Any, timeout: float) -> Any:
    """Return a client like this one that asks once.

    A task is cancelled when its time is up, a thread is not: a sync one has connections of its own, with this time-out.
    """
    # Not by `copy`, whose look for methods of pickling ends in the client's `__getattr__`.
    own: Any = object.__new__(type(client))
    vars(own).update(vars(client))
    events = copy.copy(client.meta.events)
    events.unregister(_RETRIES[0], unique_id=_RETRIES[1])
    if is_async(client):
        own._endpoint = copy.copy(client._endpoint)
        own._endpoint._event_emitter = events
        return own
    config = client.meta.config
    own._endpoint = EndpointCreator(events).create_endpoint(
        client.meta.service_model,
        region_name=client.meta.region_name,
        endpoint_url=client.meta.endpoint_url,
        verify=getattr(client._endpoint.http_session, "_verify", None),
        response_parser_factory=getattr(client._endpoint, "_response_parser_factory", None),
        timeout=(timeout, timeout),
        max_pool_connections=1,
        proxies=config.proxies,
        client_cert=config.client_cert,
        proxies_config=config.proxies_config,
    )
    return own
