"""Spans of what a service asks others for: below the server span, kept out where somebody else makes them already."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from belvedere import context
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

    def begin(
        self,
        name: str,
        attributes: Mapping[str, Any],
        *,
        kind: Literal["CLIENT", "PRODUCER", "CONSUMER", "INTERNAL"] = "CLIENT",
        below: Any = None,
    ) -> Any:
        """Return a span that has begun; `None` where there is to be none. It is not made current.

        Args:
            name: its name.
            attributes: of this one.
            kind: by its name.
            below: OpenTelemetry's context of the parent; `None`: the current one.
        """
        if self.tracer is None or self.made_elsewhere():
            return None
        from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, get_value
        from opentelemetry.trace import SpanKind

        if get_value(_SUPPRESS_INSTRUMENTATION_KEY):
            return None  # within `suppress_instrumentation()`, as all instrumentations have it

        attributes = {**self._attributes, **attributes}
        return self.tracer.start_span(name, context=below, kind=SpanKind[kind], attributes=attributes)

    def end(self, span: Any, error: BaseException | str | None = None) -> None:
        """End a span; of an error it tells the type, or what it is called, never the text, which may show values."""
        if error is not None and span.is_recording():
            from opentelemetry.trace import StatusCode

            span.set_attribute("error.type", error if isinstance(error, str) else type(error).__qualname__)
            span.set_status(StatusCode.ERROR)
        span.end()

    def made_elsewhere(self) -> bool:
        """Whether OpenTelemetry's own instrumentation of the library is on."""
        module, name = self._instrumentation
        instrumentor = getattr(sys.modules.get(module), name, None)
        return instrumentor is not None and bool(instrumentor().is_instrumented_by_opentelemetry)


@contextmanager
def unseen() -> Iterator[None]:
    """Have no instrumentation make spans of what is called within: what Belvedere asks of its own is no request's."""
    if "opentelemetry" not in sys.modules:
        yield
        return
    from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, attach, detach, set_value

    token = attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
    try:
        yield
    finally:
        detach(token)


def trace_context(span: Any) -> Mapping[str, str]:
    """Return what is to be sent along: of the span, of the current one, or what came with the request or job."""
    if "opentelemetry" in sys.modules:
        from opentelemetry import propagate, trace

        within = None if span is None else trace.set_span_in_context(span)
        if trace.get_current_span(within).get_span_context().is_valid:
            carrier: dict[str, str] = {}
            propagate.inject(carrier, within)
            return carrier
    # Nobody makes spans here: who asked and who is asked are told of each other.
    return context.carried()
