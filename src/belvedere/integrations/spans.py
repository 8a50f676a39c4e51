"""Spans of what a service asks others for: below the server span, kept out where somebody else makes them already."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from belvedere.parts import Host


class ClientSpans:
    """Begins and ends the spans of one library; without tracing there are none.

    Args:
        host: of the application, whose provider makes them.
        instrumentation: the module and the class of OpenTelemetry's instrumentation for the same library: while that
            is on, it makes the spans.
        attributes: of every span.
    """

    def __init__(self, host: Host, instrumentation: tuple[str, str], attributes: Mapping[str, Any]) -> None:
        provider = host.tracer_provider()
        self.tracer: Any = None if provider is None else provider.get_tracer("belvedere")
        self._instrumentation = instrumentation
        self._attributes = attributes

    def begin(self, name: str, attributes: Mapping[str, Any]) -> Any:
        """Return a span that has begun; `None` where there is to be none. It is not made current."""
        if self.tracer is None or self._made_elsewhere():
            return None
        from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, get_value
        from opentelemetry.trace import SpanKind

        if get_value(_SUPPRESS_INSTRUMENTATION_KEY):
            return None  # within `suppress_instrumentation()`, as all instrumentations have it

        return self.tracer.start_span(name, kind=SpanKind.CLIENT, attributes={**self._attributes, **attributes})

    def end(self, span: Any, error: BaseException | str | None = None) -> None:
        """End a span; of an error it tells the type, or what it is called, never the text, which may show values."""
        if error is not None and span.is_recording():
            from opentelemetry.trace import StatusCode

            span.set_attribute("error.type", error if isinstance(error, str) else type(error).__qualname__)
            span.set_status(StatusCode.ERROR)
        span.end()

    def _made_elsewhere(self) -> bool:
        module, name = self._instrumentation
        instrumentor = getattr(sys.modules.get(module), name, None)
        return instrumentor is not None and bool(instrumentor().is_instrumented_by_opentelemetry)
