"""Server spans from a provider that is none of the SDK's: made by its own tracer, at its own price."""

from __future__ import annotations

from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind
from opentelemetry.trace.status import Status, StatusCode

from belvedere import failures
from belvedere.asgi.native_telemetry import span_ids
from belvedere.context import RequestContext
from belvedere.tracing.observer import Spans


class PlainSpans(Spans):
    """The same observer for any tracer: ids and samples are the tracer's."""

    def _prepare(self, tracer: Any) -> None:
        """There is nothing to share."""

    def _make(self, request: RequestContext, parent: SpanContext | None, now: Context) -> Any:
        if request.excluded or self._leaves_out(request):
            return super()._make(request, parent, now)
        name, attributes = self._describe(request)
        if parent is not None:
            now = trace.set_span_in_context(NonRecordingSpan(parent), now)
        span = self._tracer.start_span(name, context=now, kind=SpanKind.SERVER, attributes=attributes)
        ids = span_ids(span)
        if ids is not None:
            request.trace_id, request.span_id, request.sampled = ids
        return span

    def finish(self, request: RequestContext) -> None:
        """End the span with what is known now."""
        span = request.span
        if span is None or self.aside or not span.is_recording():
            return
        name, attributes = self._describe(request)
        span.update_name(name)
        span.set_attributes(attributes)
        if request.exception is not None:
            self._record(span, request.exception)
        if request.exception is not None or request.status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        span.end()

    @staticmethod
    def _record(span: Any, error: BaseException) -> None:
        try:
            span.record_exception(error)
        except Exception as failure:  # its own `__str__` may raise anything; the span is to end all the same
            failures.contain(Spans.feature, failure)
