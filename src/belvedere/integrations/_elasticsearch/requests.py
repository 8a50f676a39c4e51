"""Counts, times and traces calls of Elasticsearch's API, by the names that the library has for its endpoints."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from contextvars import ContextVar
from typing import Any, NamedTuple

from elastic_transport import OpenTelemetrySpan

from belvedere import failures
from belvedere.conventions import (
    ELASTICSEARCH_DURATION,
    ELASTICSEARCH_OPERATIONS,
    OPERATION_BUCKETS,
    OTHER_OPERATION,
)
from belvedere.integrations.spans import ClientSpans
from belvedere.integrations.watches import Watch
from belvedere.parts import Host

FEATURE = "elasticsearch"
NAMES = 1000
"""Endpoints that are told apart; the API has about 600."""
_INSTRUMENTATION = ("opentelemetry.instrumentation.elasticsearch", "ElasticsearchInstrumentor")

_traced: ContextVar[bool] = ContextVar("belvedere_elasticsearch_traced", default=False)


class Known(NamedTuple):
    """An endpoint, and the cells that it is counted in."""

    operation: str
    add: Callable[[], None]
    observe: Callable[[float], None]


class Requests:
    """Wraps what requests of a class of clients go through.

    Args:
        client: whose requests are counted, and those of clients that share its connections.
        host: has metrics and provider.
    """

    def __init__(self, client: Any, host: Host) -> None:
        operations, duration = ELASTICSEARCH_OPERATIONS, ELASTICSEARCH_DURATION
        self._transport = client.transport
        self._count = host.metric("counter", operations.name, operations.help, operations.labels)
        self._duration = host.metric(
            "histogram", duration.name, duration.help, duration.labels, buckets=OPERATION_BUCKETS
        )
        self._known: dict[str, Known] = {}
        self._spans = ClientSpans(host, _INSTRUMENTATION, {"db.system.name": "elasticsearch"})
        self._clock = time.perf_counter
        self.watch = Watch(client.transport, host)

    def wrap(self, perform: Any) -> Any:
        """Return what is called instead of `perform_request`."""
        watch, transport = self.watch, self._transport

        @functools.wraps(perform)
        async def perform_async(client: Any, *args: Any, **options: Any) -> Any:
            if client.transport is not transport or not watch.active:
                return await perform(client, *args, **options)
            begun = self._begin(args, options)
            answer = error = None
            try:
                answer = await perform(client, *args, **options)
            except BaseException as caught:
                error = caught
                raise
            finally:
                self._end(begun, answer, error)
            return answer

        @functools.wraps(perform)
        def perform_here(client: Any, *args: Any, **options: Any) -> Any:
            if client.transport is not transport or not watch.active:
                return perform(client, *args, **options)
            begun = self._begin(args, options)
            answer = error = None
            try:
                answer = perform(client, *args, **options)
            except BaseException as caught:
                error = caught
                raise
            finally:
                self._end(begun, answer, error)
            return answer

        return perform_async if inspect.iscoroutinefunction(perform) else perform_here

    def wrap_span(self, span: Any) -> Any:
        """Return what is called instead of the library's own telemetry: no second span of what has one."""

        @functools.wraps(span)
        def quiet(*args: Any, **options: Any) -> Any:
            return nullcontext(OpenTelemetrySpan(None)) if _traced.get() else span(*args, **options)

        return quiet

    def _begin(self, args: tuple[Any, ...], options: Mapping[str, Any]) -> tuple[Known, float, Any, Any]:
        endpoint = options.get("endpoint_id")
        known = self._known.get(endpoint or OTHER_OPERATION) or self._named(endpoint)
        span = None
        if self.watch.traces:
            try:
                span = self._spans.begin(known.operation, _attributes(known, args, options))
            except Exception as error:
                failures.contain(FEATURE, error)
        token = None if span is None else _traced.set(True)
        return known, self._clock(), span, token

    def _end(self, begun: tuple[Known, float, Any, Any], answer: Any, error: BaseException | None) -> None:
        known, began, span, token = begun
        try:
            if self.watch.counts:
                known.add()
                known.observe(self._clock() - began)
            if span is not None:
                _traced.reset(token)
                meta = getattr(answer if error is None else error, "meta", None)
                if meta is not None:
                    span.set_attribute("db.response.status_code", str(meta.status))
                    span.set_attribute("server.address", meta.node.host)
                    span.set_attribute("server.port", meta.node.port)
                self._spans.end(span, error)
        except Exception as own:
            failures.contain(FEATURE, own)

    def _named(self, endpoint: Any) -> Known:
        operation = endpoint if isinstance(endpoint, str) and endpoint else OTHER_OPERATION
        if len(self._known) >= NAMES:
            operation = OTHER_OPERATION
        known = self._known.get(operation)
        if known is None:
            count = self._count.labels(operation).inc
            known = self._known[operation] = Known(operation, count, self._duration.labels(operation).observe)
        return known


def _attributes(known: Known, args: tuple[Any, ...], options: Mapping[str, Any]) -> dict[str, Any]:
    # https://opentelemetry.io/docs/specs/semconv/db/elasticsearch/; the URL would show ids, and queries at times.
    attributes: dict[str, Any] = {"db.operation.name": known.operation}
    if args:
        attributes["http.request.method"] = args[0]
    index = (options.get("path_parts") or {}).get("index")
    if isinstance(index, str):
        attributes["db.collection.name"] = index
    return attributes
