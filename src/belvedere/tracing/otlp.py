"""Logs and metrics over OTLP as well, for backends that neither read stdout nor scrape."""

from __future__ import annotations

import asyncio
import atexit
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from belvedere import failures
from belvedere.context import current
from belvedere.redaction import Redactor
from belvedere.settings import Settings, TracingSettings
from belvedere.tracing.hush import is_hushed

if TYPE_CHECKING:
    from belvedere.tracing.queue import Queue, Send

Line = dict[str, Any]

_TEMPORALITY: Final = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
"""https://opentelemetry.io/docs/specs/otel/metrics/sdk_exporters/otlp/#additional-environment-variable-configuration"""


class Otlp:
    """What of one application goes over OTLP besides spans.

    Log lines belong to the process: the first application that wants them exported has them all.

    Args:
        settings: resolved.
        redactor: knows what must not be told of an endpoint.

    Raises:
        ImportError: it is asked for and not installed.
    """

    _has_lines: ClassVar[Otlp | None] = None

    def __init__(self, settings: Settings, redactor: Redactor) -> None:
        self._settings = settings
        self._redactor = redactor
        self._tracing = settings.tracing or _without_traces()
        self._logs: Queue | None = None
        self._metrics: Queue | None = None
        self._task: asyncio.Task[None] | None = None
        self.collect: Callable[[], Awaitable[bytes | None]] | None = None
        """Returns the metrics as text, or `None` where another worker exports them."""
        self.resign: Callable[[], None] = lambda: None
        """Leaves it to another worker."""
        if settings.logs is not None and settings.logs.otlp and self._endpoint("logs"):
            self._logs = self._queue("logs", self._records())
        if settings.metrics is not None and settings.metrics.otlp and self._endpoint("metrics"):
            self._metrics = self._queue("metrics", self._points())

    @property
    def tap(self) -> Callable[[Line], None] | None:
        """What is to be told of every log line, `None` if nothing is."""
        if self._logs is None or Otlp._has_lines not in {None, self}:
            return None
        Otlp._has_lines = self
        return self._take

    @property
    def records_dropped(self) -> Counter[str]:
        """Log records of this process that were not exported, by reason."""
        return Counter() if self._logs is None else self._logs.dropped

    def describe(self, signal: str) -> str:
        """Return what the report adds to the row of logs or metrics."""
        if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
            return "; not exported over OTLP: OTEL_SDK_DISABLED is true"
        endpoint = self._endpoint(signal)
        if not endpoint:
            return "; not exported over OTLP: no endpoint (OTEL_EXPORTER_OTLP_ENDPOINT or tracing.endpoint)"
        told = f"; exported over OTLP to {self._redactor.text(endpoint)}"
        return f"{told}; {refused}" if signal == "metrics" and (refused := self.refused) else told

    @property
    def refused(self) -> str | None:
        """What is asked of the metrics by a variable of OpenTelemetry's and not done; `None` if there is no such thing.

        Differences since the last export are known to the worker alone that made it. When another takes over, what was
        counted between the two exports would be lost or sent twice.
        """
        preferred = os.environ.get(_TEMPORALITY, "").strip()
        if self._metrics is None or preferred.lower() in {"", "cumulative"}:
            return None
        return (
            f"{_TEMPORALITY}={self._redactor.text(preferred[:64])} is not followed: all workers' metrics are cumulative"
        )

    async def start(self) -> None:
        """Begin to export metrics, every so often."""
        if self._metrics is not None and self.collect is not None:
            self._task = asyncio.create_task(self._push())

    async def stop(self) -> None:
        """Export them once more, as they are at the end."""
        if self._task is None:
            return
        self._task.cancel()
        self._task = None
        await self._export()
        self.resign()

    async def flush(self) -> None:
        """Send what waits, within a few seconds."""
        queues = [queue for queue in (self._logs, self._metrics) if queue is not None]
        await asyncio.gather(*(asyncio.to_thread(queue.take_leave) for queue in queues))

    def take_leave(self) -> None:
        """Do what `flush` does where no loop runs."""
        for queue in (self._logs, self._metrics):
            if queue is not None:
                queue.take_leave()

    def remove(self) -> None:
        """Stop, and send what can still be sent."""
        if self._task is not None:
            self._task.cancel()
        if Otlp._has_lines is self:
            Otlp._has_lines = None
        for queue in (self._logs, self._metrics):
            if queue is not None:
                atexit.unregister(queue.close)
                queue.close()

    def _take(self, line: Line) -> None:
        # What an export has logged by others, such as urllib3, would be the next export, without end.
        if self._logs is not None and not is_hushed():
            request = current.get()
            self._logs.put((line, request is not None and request.span_id is not None and request.sampled))

    async def _push(self) -> None:
        from belvedere.tracing.provider import number

        while True:
            await asyncio.sleep(number("OTEL_METRIC_EXPORT_INTERVAL", 60_000) / 1000)
            await self._export()

    async def _export(self) -> None:
        try:
            text = None if self.collect is None else await self.collect()
            if text is not None and self._metrics is not None:
                self._metrics.put((text, time.time_ns()))
        except Exception as error:
            failures.contain("metrics", error)

    def _endpoint(self, signal: Any) -> str | None:
        from belvedere.tracing.exporters import endpoint_of

        if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
            return None
        return endpoint_of(self._tracing, signal)

    def _queue(self, signal: Any, converted: Callable[[Sequence[Any]], Any]) -> Queue:
        from belvedere.tracing import exporters
        from belvedere.tracing.queue import Queue
        from belvedere.tracing.setup import queue_options

        connected = exporters.connect(self._tracing, signal)

        def connect() -> tuple[Send, Callable[[], None]]:
            send, end = connected()
            return (lambda items: send(converted(items))), end

        options = {"limit": 2, "batch": 1, "delay": 1.0} if signal == "metrics" else queue_options("BLRP")
        queue = Queue(signal, connect, **options, hide=self._redactor.text)
        atexit.register(queue.close)
        return queue

    def _records(self) -> Callable[[Sequence[Any]], Any]:
        self._require("logs")
        from belvedere.tracing.provider import resource_of
        from belvedere.tracing.records import Records

        keys = self._settings.logs.keys if self._settings.logs else {}
        return Records(resource_of(self._settings), keys)

    def _points(self) -> Callable[[Sequence[Any]], Any]:
        self._require("metrics")
        from belvedere.tracing.points import Points
        from belvedere.tracing.provider import resource_of

        points = Points(resource_of(self._settings), time.time_ns())
        return lambda items: [points(items[0][0].decode(), items[0][1])]

    def _require(self, signal: Any) -> None:
        from belvedere.tracing import exporters

        exporters.require(exporters.protocol_of(self._tracing, signal))


def _without_traces() -> TracingSettings:
    """Return where the variables for all signals point to, when spans are switched off."""
    protocol: Any = "grpc" if os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") == "grpc" else "http/protobuf"
    return TracingSettings(endpoint=os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"), protocol=protocol)
