"""Redis: a check, metrics and spans of what goes through a client of redis-py, and hits and misses of caches in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from belvedere.conventions import REDIS_HITS, REDIS_MISSES
from belvedere.integrations.caches import Cache
from belvedere.integrations.extras import require
from belvedere.integrations.hooks import hook, unhook
from belvedere.parts import Check, Host, Probe

if TYPE_CHECKING:
    import redis as library
    import redis.asyncio as async_library

    from belvedere.integrations._redis.commands import Commands


def redis(
    client: library.Redis | async_library.Redis,
    *,
    name: str = "redis",
    critical: bool = True,
    probes: Iterable[Probe] = ("ready", "detailed"),
    timeout: float | None = None,
    ping: Callable[[], Any] | None = None,
) -> Redis:
    """Return a part that watches a client of redis-py.

        cached = integrations.redis(client)
        belvedere.observe(app, cached)
        sessions = cached.cache("sessions")

        session = sessions(await client.get(key))   # a hit, or a miss where it is None

    Args:
        client: of `redis.asyncio` or sync; commands, pipelines and scripts that go through this object are seen.
        name: of the check; two clients need two.
        critical: whether the check's failure takes the instance out of traffic.
        probes: where the check counts.
        timeout: seconds until the check has failed; by default `health.timeout`.
        ping: what the check calls besides, such as `limiter.ping`; async, or sync where the client is. It fails by
            raising, or by returning `False`.

    Raises:
        ImportError: redis is not installed.
        TypeError: it is no client of one Redis, or `ping` cannot be called.
    """
    require("redis", "redis", "belvedere[redis]")
    if ping is not None and not callable(ping):
        raise TypeError(f"integrations.redis: ping is what the check calls, not {ping!r}")
    return Redis(client, name, {"critical": critical, "probes": probes, "timeout": timeout}, ping)


_parents: list[Any] = []
"""What pools held when this process was forked."""


class Redis:
    """What `redis` returns."""

    def __init__(self, client: Any, name: str, options: dict[str, Any], ping: Callable[[], Any] | None) -> None:
        from belvedere.integrations._redis.asking import asking

        self.feature = name
        self.client = client
        message = f"{name[:1].upper()}{name[1:]} connection failed"
        self._check = Check(name, asking(client, ping), message=message, **options)
        self._caches: dict[str, Cache] = {}
        self._counters: tuple[Any, Any] | None = None
        self._commands: Commands | None = None

    @property
    def why(self) -> str:
        """What the report says; nothing of the URL."""
        return f"a {type(self.client).__module__.removesuffix('.client')} client"

    def cache(self, name: str) -> Cache:
        """Return what counts hits and misses under this name, which is a label: one for each kind of thing, not of key.

        It counts while the part is installed.
        """
        if name not in self._caches:
            self._caches[name] = Cache()
            self._connect(name)
        return self._caches[name]

    def install(self, host: Host) -> None:
        """Check, count and time from now on."""
        from belvedere.integrations._redis.commands import Commands

        if self._counters is not None:
            raise ValueError("this part is installed already: make one for each application")
        hits, misses = REDIS_HITS, REDIS_MISSES
        counters = (
            host.metric("counter", hits.name, hits.help, hits.labels),
            host.metric("counter", misses.name, misses.help, misses.labels),
        )
        commands = Commands(self.client, host)
        # What may be refused comes first: then there is nothing to take back.
        host.check(self._check)
        self._counters, self._commands = counters, commands
        for name in self._caches:
            self._connect(name)
        commands.watch.begin()
        hook(self, self.client, "execute_command", commands.wrap)
        hook(self, self.client, "pipeline", commands.wrap_pipeline)

    def uninstall(self) -> None:
        """Leave the client as it was."""
        unhook(self, self.client, "execute_command")
        unhook(self, self.client, "pipeline")
        if self._commands is not None:
            self._commands.watch.end()
        self._counters = self._commands = None
        for name in self._caches:
            self._connect(name)

    def forked(self) -> None:
        """In a process that was forked: leave the connections to the parent, whose checks may hold some."""
        pool = self.client.connection_pool
        if hasattr(pool, "aclose"):  # a sync one finds out by itself
            # Kept, as those that are collected are closed, by way of what the parent waits on.
            _parents.append(dict(vars(pool)))
            pool.reset()

    def _connect(self, name: str) -> None:
        if self._counters is None:
            self._caches[name].count_in(None, None)
        else:
            self._caches[name].count_in(*(counter.labels(name) for counter in self._counters))
