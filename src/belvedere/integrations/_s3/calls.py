"""Times and traces the operations of clients of S3, by the names that its API has for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from belvedere import failures
from belvedere.conventions import OPERATION_BUCKETS, OTHER_OPERATION, S3_DURATION
from belvedere.integrations._s3.kinds import is_async
from belvedere.integrations.spans import ClientSpans
from belvedere.integrations.watches import Watch
from belvedere.parts import Host

FEATURE = "s3"
_MODULE = "opentelemetry.instrumentation.botocore"
_CODE = 60
"""Characters of an error's code that a span shows at most."""


class Calls:
    """Wraps what operations go through.

    Args:
        host: has metric and provider.
    """

    def __init__(self, host: Host) -> None:
        metric = S3_DURATION
        self._duration = host.metric("histogram", metric.name, metric.help, metric.labels, buckets=OPERATION_BUCKETS)
        self._known: dict[str, Callable[[float], None]] = {}
        # https://opentelemetry.io/docs/specs/semconv/object-stores/s3/, with the old name and the new one of one key.
        attributes = {"rpc.system.name": "aws-api", "rpc.system": "aws-api", "rpc.service": "S3"}
        self._spans = ClientSpans(host, (_MODULE, "BotocoreInstrumentor"), attributes)
        self._async_spans = ClientSpans(host, (_MODULE, "AiobotocoreInstrumentor"), attributes)
        self._clock = time.perf_counter
        self._host = host
        self._watch = Watch(self, host)

    def begin(self, target: object) -> None:
        """Watch the operations of a client, or of all that a session makes."""
        self._watch.end()
        self._watch = Watch(target, self._host)
        self._watch.begin()

    def end(self) -> None:
        """Let everything through: clients of a session, or somebody else's wrapping, may outlive the part."""
        self._watch.end()

    def wrap(self, client: Any, call: Any) -> Any:
        """Return what is called instead: of `client` (`operation, parameters`), else of a class, with the client."""

        async def call_async(*args: Any) -> Any:
            if not self._watch.active:
                return await call(*args)
            which, *rest = args if client is None else (client, *args)
            began, span = self._begin(which, *rest)
            answer = error = None
            try:
                answer = await call(*args)
            except BaseException as caught:
                error = caught
                raise
            finally:
                self._end((which, rest[0], began, span), answer, error)
            return answer

        def call_here(*args: Any) -> Any:
            if not self._watch.active:
                return call(*args)
            which, *rest = args if client is None else (client, *args)
            began, span = self._begin(which, *rest)
            answer = error = None
            try:
                answer = call(*args)
            except BaseException as caught:
                error = caught
                raise
            finally:
                self._end((which, rest[0], began, span), answer, error)
            return answer

        asynchronous = is_async(client) if client is not None else "aiobotocore" in getattr(call, "__module__", "")
        made = call_async if asynchronous else call_here
        # For whoever is wrapped around a class that a session makes.
        made.__module__ = getattr(call, "__module__", made.__module__)
        return made

    def _begin(self, client: Any, operation: str, parameters: Mapping[str, Any]) -> tuple[float, Any]:
        span = None
        spans = self._async_spans if is_async(client) else self._spans
        if self._watch.traces:
            try:
                span = spans.begin(f"S3.{operation}", _attributes(client, operation, parameters))
            except Exception as error:
                failures.contain(FEATURE, error)
        return self._clock(), span

    def _end(self, began: tuple[Any, str, float, Any], answer: Any, error: BaseException | None) -> None:
        client, operation, since, span = began
        try:
            if self._watch.counts:
                (self._known.get(operation) or self._look_up(client, operation))(self._clock() - since)
            if span is not None:
                response = answer if error is None else getattr(error, "response", None)
                about = response if isinstance(response, Mapping) else {}
                metadata = about.get("ResponseMetadata", {})
                for name, key in (("http.response.status_code", "HTTPStatusCode"), ("aws.request_id", "RequestId")):
                    if metadata.get(key):
                        span.set_attribute(name, metadata[key])
                # What S3 calls it, such as NoSuchKey; its text may show keys.
                code = str(about.get("Error", {}).get("Code") or "")[:_CODE] if error is not None else ""
                self._spans.end(span, code or error)
        except Exception as own:
            failures.contain(FEATURE, own)

    def _look_up(self, client: Any, operation: str) -> Callable[[float], None]:
        if operation not in client.meta.service_model.operation_names:
            return self._duration.labels(OTHER_OPERATION).observe  # type: ignore[no-any-return]
        observe: Callable[[float], None] = self._duration.labels(operation).observe
        self._known[operation] = observe
        return observe


def _attributes(client: Any, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    attributes = {"rpc.method": operation, "cloud.region": client.meta.region_name}
    bucket = parameters.get("Bucket")
    if isinstance(bucket, str):
        attributes["aws.s3.bucket"] = bucket
    url = urlsplit(client.meta.endpoint_url)
    attributes["server.address"] = url.hostname
    attributes["server.port"] = url.port or (443 if url.scheme == "https" else 80)
    return {name: value for name, value in attributes.items() if value is not None}
