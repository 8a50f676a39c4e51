"""Counting in a store that all workers share: the library's storages and strategies, on Redis by a client of ours."""

from __future__ import annotations

import asyncio
import os
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from limits.aio.storage import Storage
from limits.storage import storage_from_string

from belvedere.ratelimit.availability import Availability
from belvedere.ratelimit.counting import Counting, counting
from belvedere.ratelimit.patience import Patience
from belvedere.ratelimit.policy import Decision, Policy, policies

PLAIN_REDIS = frozenset({"redis", "rediss", "unix", "redis+unix"})
"""Schemes of one Redis server, which our client speaks to; for others (`redis+cluster`, …) the library has its own."""


CONNECTING = 1.0
"""Seconds that connecting may take, where no request waits for it."""


class SharedStore:
    """Counts requests in a store that others count in as well; one connection pool for each event loop.

    Args:
        url: `redis://…`, or whatever else the library has an asynchronous storage for.
        strategy: the library's name of one.
        prefix: what keys in the store hold, to tell services apart.
        timeout: seconds that the store may take for a request.

    Raises:
        ValueError: the URL is of no store; the message does not show it, as it may hold a password.
        ImportError: what it needs is not installed.
    """

    def __init__(self, url: str, strategy: str, prefix: str, timeout: float) -> None:
        self._url = url.removeprefix("async+")
        self._strategy = strategy
        # Each strategy keeps something else under its keys: one that follows another must not meet them.
        self._prefix = f"{prefix}:{strategy.partition('-')[0]}"
        self._timeout = timeout
        parts = urlsplit(self._url)
        self._plain = parts.scheme in PLAIN_REDIS
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0
        self._counting: Counting
        self._storage: Storage
        self.name = without_secrets(self._url)
        self.availability = Availability(self.name, self.connect, secrets(self._url))
        self._canary = policies("1000000/minute", None)[0]
        try:
            self._build()
        except ImportError:
            raise
        except Exception as error:
            raise ValueError(
                f"no store can be made of the URL that was given (scheme {parts.scheme!r}): {type(error).__name__}"
            ) from None

    async def take(self, policy: Policy, where: str, key: str, cost: int) -> Decision:
        """Take `cost` from what `key` has left of a limit.

        Raises:
            Exception: the store is away, slow, or refuses to count.
        """
        self._belong()
        if self._plain:
            return await self._take(policy, where, key, cost)  # The client watches the time.
        async with Patience(self._timeout):
            return await self._take(policy, where, key, cost)

    async def probe(self) -> None:
        """Count something, as a request does: a full or a read-only Redis answers a ping, and counts nothing."""
        await self.take(self._canary, "", "canary", 1)

    async def check(self) -> None:
        """Be asked for its health; while it is away no request waits for it, and there is time to connect."""
        await (self.connect() if self.availability.away else self.probe())

    async def connect(self) -> None:
        """Be connected, for which there is more time while no request waits for it; then see whether it is fast."""
        self._belong()
        client = self._client()
        if self._plain:
            client.timeout = max(self._timeout, CONNECTING)
            try:
                await self.probe()
            finally:
                client.timeout = self._timeout
        await self.probe()

    async def close(self) -> None:
        """Close what is open on this event loop."""
        self.availability.close()
        loop, self._loop = self._loop, None
        client = self._client()
        if loop is asyncio.get_running_loop() and self._pid == os.getpid() and client is not None:
            await client.aclose()

    async def _take(self, policy: Policy, where: str, key: str, cost: int) -> Decision:
        # The library's own prefix of keys cannot be set in its version 5.0, nor in every storage.
        return await self._counting.take(policy, f"{self._prefix}/{where}", key, cost)

    def _belong(self) -> None:
        """Have connections of this process and this event loop; those of another one cannot be used."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop or self._pid != os.getpid():
            if self._loop is not None:
                self._build()
            self._loop = loop
            self._pid = os.getpid()

    def _build(self) -> None:
        options: dict[str, Any] = {}
        if self._url.startswith(("redis", "rediss", "unix")):
            options["implementation"] = "redispy"
        url = self._url.replace("unix://", "redis+unix://", 1) if self._url.startswith("unix") else self._url
        storage = storage_from_string(f"async+{url}", **options)
        if self._plain:
            from belvedere.ratelimit.pipelined import connect

            bridge: Any = storage.bridge  # type: ignore[union-attr]
            client = connect(bridge.uri, self._timeout)
            bridge.storage = client
            bridge.connection_getter = lambda _: client
            bridge.register_scripts()
        self._storage = storage  # type: ignore[assignment]
        self._counting = counting(self._strategy, self._storage)

    def _client(self) -> Any:
        return getattr(getattr(self._storage, "bridge", None), "storage", None)


def without_secrets(url: str) -> str:
    """Return scheme, host, port and path of a URL, and nothing of its user, password and options."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def secrets(url: str) -> tuple[str, ...]:
    """Return what of a URL must not be shown, as it stands there and as it is meant; the longest first."""
    parts = urlsplit(url)
    found = {parts.netloc.rpartition("@")[0].partition(":")[2]}
    found.update(value for name, value in parse_qsl(parts.query) if "password" in name)
    found |= {unquote(secret) for secret in found}
    return tuple(sorted(filter(None, found), key=len, reverse=True))
