"""Counts, times and traces the commands of a client of redis-py, and its pipelines, each as one operation."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from redis.asyncio import Redis as AsyncRedis

from belvedere import failures
from belvedere.conventions import OPERATION_BUCKETS, OTHER_OPERATION, REDIS_DURATION, REDIS_OPERATIONS
from belvedere.integrations.spans import ClientSpans
from belvedere.integrations.watches import Watch
from belvedere.parts import Host

FEATURE = "redis"
PIPELINE = "PIPELINE"
NAMES = 200
"""Names of commands that are told apart; Redis has about as many, modules some more."""
_INSTRUMENTATION = ("opentelemetry.instrumentation.redis", "RedisInstrumentor")


class Known(NamedTuple):
    """An operation, and the cells that it is counted in."""

    operation: str
    add: Callable[[], None]
    observe: Callable[[float], None]


class Commands:
    """Wraps the calls of one client.

    Args:
        client: sync or async.
        host: has metrics and provider.
    """

    def __init__(self, client: Any, host: Host) -> None:
        operations, duration = REDIS_OPERATIONS, REDIS_DURATION
        self._async = isinstance(client, AsyncRedis)
        self._count = host.metric("counter", operations.name, operations.help, operations.labels)
        self._duration = host.metric(
            "histogram", duration.name, duration.help, duration.labels, buckets=OPERATION_BUCKETS
        )
        self._known: dict[str | bytes, Known] = {}
        self._made = 0
        # Nothing of the password, which is there as well.
        options = client.connection_pool.connection_kwargs
        where = {
            "server.address": options.get("host") or options.get("path"),
            "server.port": options.get("port"),
            "db.namespace": str(options.get("db", 0)),
        }
        attributes = {"db.system.name": "redis"} | {key: value for key, value in where.items() if value}
        self._spans = ClientSpans(host, _INSTRUMENTATION, attributes)
        self._clock = time.perf_counter
        self.watch = Watch(client, host)
        """Whether anything is done: a pipeline, or somebody else's wrapping, may outlive the part."""

    def wrap(self, execute: Any) -> Any:
        """Return what is called instead of `execute_command`."""
        watch = self.watch

        async def execute_async(*args: Any, **options: Any) -> Any:
            if not watch.active:
                return await execute(*args, **options)
            known, began, span = self._begin(self._look_up(args))
            error = None
            try:
                return await execute(*args, **options)
            except BaseException as caught:
                error = caught
                raise
            finally:
                self._end(known, began, span, error)

        def execute_here(*args: Any, **options: Any) -> Any:
            if not watch.active:
                return execute(*args, **options)
            known, began, span = self._begin(self._look_up(args))
            error = None
            try:
                return execute(*args, **options)
            except BaseException as caught:
                error = caught
                raise
            finally:
                self._end(known, began, span, error)

        return execute_async if self._async else execute_here

    def wrap_pipeline(self, pipeline: Any) -> Any:
        """Return what is called instead of `pipeline`: a pipeline of the same class that tells when it is executed."""
        classes: dict[type, type] = {}

        def make(*args: Any, **options: Any) -> Any:
            made = pipeline(*args, **options)
            kind = type(made)
            if kind not in classes:
                classes[kind] = self._watched(kind)
            # Its class, as an attribute of its own would be a cycle for each pipeline.
            made.__class__ = classes[kind]
            return made

        return make

    def _watched(self, kind: Any) -> type:
        commands, watch = self, self.watch

        async def execute_async(pipe: Any, *args: Any, **options: Any) -> Any:
            if not watch.active:
                return await kind.execute(pipe, *args, **options)
            known, began, span = commands._begin(commands._of(PIPELINE))
            error = None
            try:
                return await kind.execute(pipe, *args, **options)
            except BaseException as caught:
                error = caught
                raise
            finally:
                commands._end(known, began, span, error)

        def execute_here(pipe: Any, *args: Any, **options: Any) -> Any:
            if not watch.active:
                return kind.execute(pipe, *args, **options)
            known, began, span = commands._begin(commands._of(PIPELINE))
            error = None
            try:
                return kind.execute(pipe, *args, **options)
            except BaseException as caught:
                error = caught
                raise
            finally:
                commands._end(known, began, span, error)

        names = {"execute": execute_async if self._async else execute_here, "__module__": kind.__module__}
        return type(kind.__name__, (kind,), names)

    def _look_up(self, args: tuple[Any, ...]) -> Known:
        command = args[0] if args else ""
        if not isinstance(command, str | bytes):
            return self._of(OTHER_OPERATION)
        return self._known.get(command) or self._named(command)

    def _named(self, command: str | bytes) -> Known:
        """Return what is known by the first word of a command; the others may be anything, and are keys at times."""
        text = command.decode("latin-1") if isinstance(command, bytes) else command
        word = text.partition(" ")[0].upper()
        # Those of modules have a dot or a hyphen.
        plain = word.replace(".", "").replace("-", "").replace("_", "")
        if not (plain.isascii() and plain.isalnum() and len(word) <= 30):
            word = OTHER_OPERATION
        known = self._of(word)
        if len(self._known) < 4 * NAMES and len(text) <= 60:
            self._known[command] = known
        return known

    def _of(self, operation: str) -> Known:
        known = self._known.get(operation)
        if known is None:
            if self._made >= NAMES and operation not in {OTHER_OPERATION, PIPELINE}:
                return self._of(OTHER_OPERATION)
            self._made += 1
            count = self._count.labels(operation).inc
            known = self._known[operation] = Known(operation, count, self._duration.labels(operation).observe)
        return known

    def _begin(self, known: Known) -> tuple[Known, float, Any]:
        span = None
        if self.watch.traces:
            try:
                span = self._spans.begin(known.operation, {"db.operation.name": known.operation})
            except Exception as error:
                failures.contain(FEATURE, error)
        return known, self._clock(), span

    def _end(self, known: Known, began: float, span: Any, error: BaseException | None) -> None:
        try:
            if self.watch.counts:
                known.add()
                known.observe(self._clock() - began)
            if span is not None:
                self._spans.end(span, error)
        except Exception as own:
            failures.contain(FEATURE, own)
