"""The way from a provider to the queue."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from belvedere.tracing.queue import Queue


class SpanQueue(SpanProcessor):
    """Hands sampled spans that have ended to a queue."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self._put = queue.put

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        """A span that begins is not sent."""

    def _on_ending(self, span: Any) -> None:
        """Nothing is added to it."""

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span if it is sampled."""
        context = span.context
        if context is not None and context.trace_flags & 1:
            self._put(span)

    def shutdown(self) -> None:
        """Send what waits, within the bound."""
        self.queue.close()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what waits, in at most so many milliseconds."""
        return self.queue.flush(timeout_millis / 1000)
