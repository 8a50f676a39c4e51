"""How spans get from whatever made them to the test that runs; needs the OpenTelemetry SDK."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

_listeners: list[Callable[[ReadableSpan], None]] = []
_attached: weakref.WeakSet[Any] = weakref.WeakSet()


class _Forwarder(SpanProcessor):
    """Hands sampled spans to the test that runs; between tests it does nothing, as a processor cannot be taken off."""

    def on_end(self, span: ReadableSpan) -> None:
        context = span.get_span_context()
        if context is not None and context.trace_flags.sampled:
            for listener in _listeners:
                listener(span)


class _Provider(TracerProvider):
    """One for all tests of the process: modules keep the tracers that they once got."""

    def shutdown(self) -> None:
        """An application that shuts its provider down would end this one for the tests that follow."""


_own: Final = _Provider(sampler=ALWAYS_ON, resource=Resource.get_empty(), shutdown_on_exit=False)


@contextmanager
def capturing(listener: Callable[[ReadableSpan], None]) -> Iterator[None]:
    """Hand every span that ends within the block to `listener`."""
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        trace.set_tracer_provider(_own)
    attach(trace.get_tracer_provider())
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
        _unset()


def attach(provider: Any) -> None:
    """Have the spans of `provider` forwarded from now on.

    Raises:
        TypeError: it takes no processors.
    """
    if provider in _attached:
        return
    if not hasattr(provider, "add_span_processor"):
        raise TypeError(
            f"{type(provider).__name__} takes no span processors: "
            "belvedere_spans needs a TracerProvider of the OpenTelemetry SDK"
        )
    provider.add_span_processor(_Forwarder())
    _attached.add(provider)


def _unset() -> None:
    """Leave the process without a global provider, if it has ours.

    There is no public way back; OpenTelemetry's test utilities do the same (opentelemetry-test-utils, globals_test.py).
    """
    once = getattr(trace, "_TRACER_PROVIDER_SET_ONCE", None)
    if once is not None and trace.get_tracer_provider() is _own:
        trace._TRACER_PROVIDER_SET_ONCE = type(once)()
        trace._TRACER_PROVIDER = None
