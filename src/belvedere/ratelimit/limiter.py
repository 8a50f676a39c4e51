"""The part that an application gives to `observe`, and asks for limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlsplit

from belvedere.asgi.client import Network
from belvedere.conventions import RATE_LIMIT_DECISIONS
from belvedere.parts import Check, Host
from belvedere.ratelimit.exemptions import Exempt, Exemptions
from belvedere.ratelimit.keys import Addresses, KeyFunction
from belvedere.ratelimit.limit import Limit
from belvedere.ratelimit.local import ALGORITHMS, MAX_KEYS, LocalStore
from belvedere.ratelimit.policy import Decision, Policy
from belvedere.ratelimit.shared import SharedStore

STRATEGIES = {"fixed": "fixed-window", "moving": "moving-window", "sliding": "sliding-window-counter"}
"""Short names for the library's."""

PREFIX = "belvedere"
"""What keys in a shared store hold, before the service's name is known."""


class RateLimiter:
    """A part that limits how often routes may be asked; without being installed it limits too, and counts nothing.

        limiter = RateLimiter("redis://cache:6379/0")
        belvedere.observe(app, limiter)

        @app.post("/search", dependencies=[limiter.limit("30/minute")])

    Args:
        url: of the Redis in which all workers count together (any asynchronous storage of the library `limits` will
            do); `None`: each process counts for itself.
        strategy: `fixed`, `moving` or `sliding`, or the library's longer names.
        key: whom a request is counted for: `None` or `"user"` (the bound `user_id`, else the client's address),
            `"address"`, `"header:NAME"`, or a callable, sync or async, that takes the request and returns a text.
        prefix: what keys in Redis hold, to tell services apart; by default `belvedere:` and the service's name.
        exempt: who is not limited: networks, keys, callables that take the request; one or several.
        timeout: seconds that Redis may take, before this process counts for itself.
        trusted_proxies: networks whose `X-Forwarded-For` is believed; by default `requests.trusted_proxies`.
        max_keys: how many keys this process holds at most.

    Raises:
        ValueError: saying which argument is wrong and what it should be.
        ImportError: what the store needs is not installed.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        strategy: str = "fixed",
        key: str | KeyFunction | None = None,
        prefix: str | None = None,
        exempt: Exempt | Iterable[Exempt] | None = None,
        timeout: float = 0.05,
        trusted_proxies: Sequence[str] | None = None,
        max_keys: int = MAX_KEYS,
    ) -> None:
        self._strategy = STRATEGIES.get(strategy, strategy)
        if self._strategy not in ALGORITHMS:
            raise ValueError(f"no strategy is called {strategy!r}: there are {', '.join(STRATEGIES)}")
        if not timeout > 0:
            raise ValueError(f"a time-out is a number of seconds above 0, not {timeout!r}")
        if max_keys < 1:
            raise ValueError(f"max_keys is a number from 1, not {max_keys!r}")
        trusted: list[Network] | None = None
        if trusted_proxies is not None:
            trusted = [ip_network(network, strict=False) for network in trusted_proxies]
        self._url = None if not url or urlsplit(url).scheme in {"memory", "async+memory"} else url
        self._prefix = prefix
        self._timeout = timeout
        self._counter: Any = None
        self._children: dict[tuple[str, str], Any] = {}
        self.key = key
        self.addresses = Addresses(trusted)
        self.exemptions = Exemptions(exempt, self.addresses)
        self.local = LocalStore(self._strategy, max_keys)
        self.shared: SharedStore | None = None
        self._share(prefix or PREFIX)

    def limit(
        self,
        limits: str,
        *,
        cost: int | Callable[[Any], Any] = 1,
        key: str | KeyFunction | None = None,
        name: str | None = None,
        exempt: Exempt | Iterable[Exempt] | None = None,
    ) -> Limit:
        """Return a dependency for a route, a router or an application: `dependencies=[limiter.limit("30/minute")]`.

        Args:
            limits: `"30/minute"`, `"5 per 10 seconds"`, or several, `"5/second;30/minute"`, all of which hold.
            cost: what a request takes from each, a whole number or a callable, sync or async, that takes the request;
                what costs 0 is not limited.
            key: as the limiter's, for this limit.
            name: routes whose limits have one name share what is left; without, each route has its own.
            exempt: as the limiter's, and besides those.

        Raises:
            ValueError, TypeError: saying which argument is wrong and what it should be.
        """
        return Limit(self, limits, cost=cost, key=key, name=name, exempt=exempt)

    def check(self, name: str = "redis", **options: Any) -> Check:
        """Return a health check of the shared store, for whom an instance without it should take no traffic.

        Args:
            options: as of `Check`: `critical`, `timeout`, `probes`, `message`.

        Raises:
            ValueError: there is no shared store.
        """
        if self.shared is None:
            raise ValueError("this limiter counts in memory, which is always there: give it a URL, or no check")

        return Check(name, self.ping, **options)

    async def ping(self) -> None:
        """Raise unless the shared store counts: a Redis that is full or read-only answers, and counts nothing."""
        if self.shared is not None:
            await self.shared.check()

    async def close(self) -> None:
        """Close the connections of this event loop; the next request opens new ones."""
        if self.shared is not None:
            await self.shared.close()

    def install(self, host: Host) -> None:
        """Count decisions in a metric of the application, and close connections when it stops."""
        metric = RATE_LIMIT_DECISIONS
        self._children = {}
        self._counter = host.metric("counter", metric.name, metric.help, metric.labels)
        if self._prefix is None and self.shared is not None:
            self._share(f"{PREFIX}:{host.settings.service}")
        host.on_start(self._start)
        host.on_stop(self.close)

    def uninstall(self) -> None:
        """Count no more; limits hold as before."""
        self._counter = None
        self._children = {}
        if self.shared is not None:
            self.shared.availability.close()

    @property
    def feature(self) -> str:
        return "rate limits"

    @property
    def why(self) -> str:
        """What the report says: which store, and why."""
        how = {long: short for short, long in STRATEGIES.items()}[self._strategy]
        if self.shared is None:
            return f"{how} window, in memory, as no URL was given: each process counts for itself"
        why = f"{how} window, in {self.shared.name}, shared by all processes"
        if self.shared.availability.away:
            why += "; it is away: each process counts for itself until it is back"
        return why

    def count(self, limit: str, outcome: str) -> None:
        """Count a decision, if the limiter is installed."""
        if self._counter is None:
            return
        child = self._children.get((limit, outcome))
        if child is None:
            child = self._children[limit, outcome] = self._counter.labels(limit, outcome)
        child.inc()

    async def take_shared(self, policy: Policy, where: str, key: str, cost: int) -> Decision | None:
        """Return what the shared store says; `None` if it is away, in which case the local one is to be asked."""
        shared = self.shared
        if shared is None:
            return None
        if shared.availability.away:
            shared.availability.watch()
        else:
            try:
                decision = await shared.take(policy, where, key, cost)
            except Exception as error:
                shared.availability.lost(error)
            else:
                if decision.remaining <= 0 and not decision.allowed:
                    # Should the store go away, whoever it has refused does not begin anew here.
                    self.local.spend(policy, f"{where}\n{key}", decision.reset)
                return decision
        return None

    def _share(self, prefix: str) -> None:
        if self._url is not None:
            self.shared = SharedStore(self._url, self._strategy, prefix, self._timeout)

    async def _start(self) -> None:
        """Connect before the first request, which would otherwise wait for it."""
        if self.shared is not None:
            try:
                await self.shared.connect()
            except Exception as error:
                self.shared.availability.lost(error)
