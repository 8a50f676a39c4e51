"""Makes the server span of each request: current while the request runs, ended with its last byte."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import Getter
from opentelemetry.sdk.trace import SpanLimits
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.propagation import _SPAN_KEY
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from belvedere.asgi.identity import generator, make_ids, occurs_twice, spare_ids
from belvedere.asgi.plan import Plan, below_root
from belvedere.context import RequestContext
from belvedere.tracing.describe import Describer
from belvedere.tracing.operations import Operations
from belvedere.tracing.processor import SpanQueue
from belvedere.tracing.sampling import root_bound
from belvedere.tracing.span import FLAGS, Blueprint, ServerSpan, Unrecorded

_RANDOM: Final = getattr(TraceFlags, "RANDOM_TRACE_ID", 0)
"""What says that an id is random, where this version of OpenTelemetry knows it."""
_new: Final = object.__new__
_STANDARD: Final = (TraceContextTextMapPropagator, W3CBaggagePropagator)


class Spans:
    """An observer that makes server spans with a tracer of the SDK.

    Args:
        tracer: whose resource, sampler, processors and limits the spans get.
        excluded: paths without spans, beside those that are kept out of everything.
        prefixes: beginnings of such paths.
        operations: brings the spans that FastAPI makes of a request's parts under ours.
    """

    feature = "tracing"

    def __init__(
        self,
        plan: Plan,
        tracer: Any,
        describe: Describer,
        hide: Callable[[str], str],
        *,
        excluded: frozenset[str] = frozenset(),
        prefixes: tuple[str, ...] = (),
        operations: Operations | None = None,
    ) -> None:
        self.aside = False
        """Whether somebody else makes the spans."""
        self._plan = plan
        self._tracer = tracer
        self._excluded = excluded
        self._prefixes = prefixes
        self._operations = operations
        self._describe = describe
        self._hide = hide
        self._flags = FLAGS
        self._kept: Any = FLAGS[1 | _RANDOM]
        self._left_out: Any = FLAGS[_RANDOM]
        self._runtime = otel_context._RUNTIME_CONTEXT
        self._processors: tuple[Any, ...] | None = None
        self._attentive: list[Any] = []
        self._extracts = False
        self._prepare(tracer)
        self.look()

    def _prepare(self, tracer: Any) -> None:
        limits = getattr(tracer, "_span_limits", None) or SpanLimits()
        scope: Any = getattr(tracer, "_instrumentation_scope", None)
        self._blueprint = Blueprint(limits, scope, self._describe, self._hide, self._ended)

    def look(self) -> None:
        """Take account of the propagators and the sampler as they are now."""
        self._bound = root_bound(getattr(self._tracer, "sampler", None))
        propagator = propagate.get_global_textmap()
        inner = getattr(propagator, "_propagators", (propagator,))
        plain = type(propagator) is CompositePropagator and all(type(one) in _STANDARD for one in inner)
        self._extracts = not (plain and any(type(one) is TraceContextTextMapPropagator for one in inner))

    # What the pass calls.

    def begin(self, request: RequestContext) -> None:
        """Begin the span of a request; that of a WebSocket has begun with its handshake."""
        if not request.websocket:
            self.open(request)

    def open(self, request: RequestContext) -> None:
        """Begin the span of a request, and make it current."""
        if self.aside or request.span is not None:
            return
        now: Context = self._runtime.get_current()
        if now and self._adopts(request, now):
            return
        headers = request.headers
        parent: SpanContext | None = None
        if self._extracts or b"tracestate" in headers or b"baggage" in headers:
            now = propagate.extract(request.headers, now, getter=_HeaderGetter(request))
            parent = self._parent(now)
        elif request.parent_id is not None:
            flags = self._flags[int(headers[b"traceparent"][53:55], 16) & 3]
            parent = SpanContext(int(request.trace_id, 16), int(request.parent_id, 16), True, flags)
        elif now:
            parent = self._parent(now)
        span = self._make(request, parent, now)
        request.span = span
        request.scope["state"]["trace_id"] = request.trace_id
        values: dict[str, Any] = {**now, _SPAN_KEY: span} if now else {_SPAN_KEY: span}
        if self._operations is not None:
            self._operations.prepare(request, span, values)
        else:
            # An application of FastAPI's, mounted below, makes no span where this key is.
            request.scope["fastapi.telemetry"] = None
        request.attached = self._runtime.attach(Context(values))  # type: ignore[attr-defined]
        if self._attentive and isinstance(span, ServerSpan):
            for processor in self._attentive:
                processor.on_start(span, parent_context=now)

    def finish(self, request: RequestContext) -> None:
        """End the span; what comes after the last byte can still have children below it."""
        span = request.span
        if type(span) is not ServerSpan or span._end_time is not None:
            return
        error = request.exception
        span.finish(
            span._start_time + int(request.duration * 1_000_000_000), error, error is not None or request.status >= 500
        )

    # How a span is made.

    def _make(self, request: RequestContext, parent: SpanContext | None, now: Context) -> Any:
        """Return the span of a request, whose ids become the request's."""
        own = request.span_id = "%016x" % generator.getrandbits(64)  # noqa: UP031 - half the time of an f-string
        if parent is None:
            made_here = request.parent_id is None and request.trace_id is not request.request_id
            trace_id = request.trace_id if made_here else self._new_trace_id(request)
            state = None
        else:
            trace_id = "%032x" % parent.trace_id  # noqa: UP031
            state = parent.trace_state
        request.trace_id = trace_id
        if request.excluded or self._leaves_out(request):
            request.sampled = False
            return Unrecorded(trace_id, own, self._left_out, state)
        bound = self._bound
        if bound is None:
            return self._asked(request, parent, now, trace_id, own)
        if parent is None:
            sampled = trace_id[18:] < bound
            flags = self._kept if sampled else self._left_out
        else:
            flags = self._flags[parent.trace_flags & 3]
            sampled = flags & 1 == 1
        request.sampled = sampled
        if not sampled:
            return Unrecorded(trace_id, own, flags, state)
        processors = self._tracer.span_processor._span_processors
        if processors is not self._processors:
            self._meet(processors)
        # What `ServerSpan(…)` does, without entering the interpreter once more for it.
        span = _new(ServerSpan)
        span.__init__(self._blueprint, request, trace_id, own, flags, state, parent)  # type: ignore[misc]
        return span

    def _asked(
        self, request: RequestContext, parent: SpanContext | None, now: Context, trace_id: str, own: str
    ) -> Unrecorded:
        """Make the span that a sampler of somebody's own wants."""
        name, attributes = self._describe(request)
        state = None if parent is None else parent.trace_state
        result = self._tracer.sampler.should_sample(
            now, int(trace_id, 16), name, SpanKind.SERVER, attributes, (), state
        )
        request.sampled = result.decision.is_sampled()
        random = _RANDOM if parent is None else parent.trace_flags & _RANDOM
        flags = self._flags[random | request.sampled]
        state = result.trace_state
        if not result.decision.is_recording():
            return Unrecorded(trace_id, own, flags, state)
        self._meet(self._tracer.span_processor._span_processors)
        span = ServerSpan(self._blueprint, request, trace_id, own, flags, state, parent)
        said = {key: value for key, value in (result.attributes or {}).items() if key not in attributes}
        if said:
            span.set_attributes(said)
        return span

    def _new_trace_id(self, request: RequestContext) -> str:
        """Return the digits of the id that we made, or of another one where the caller has made it."""
        if request.parent_id is None and not self._is_callers(request):
            return request.trace_id
        try:
            return spare_ids.pop()[0]
        except IndexError:
            return make_ids()[0]

    def _is_callers(self, request: RequestContext) -> bool:
        if request.trace_id is not request.request_id:
            return False
        plan = self._plan
        return not plan.hex or request.headers.get(plan.header) == request.request_id.encode()

    def _leaves_out(self, request: RequestContext) -> bool:
        if not self._excluded and not self._prefixes:
            return False
        path = below_root(request.scope)
        return path in self._excluded or path.startswith(self._prefixes)

    def _parent(self, now: Context) -> SpanContext | None:
        parent = trace.get_current_span(now).get_span_context()
        return parent if parent.is_valid else None

    def _adopts(self, request: RequestContext, now: Context) -> bool:
        """Take on the server span that somebody outside of us has begun for this very request."""
        current = trace.get_current_span(now)
        if not current.is_recording() or getattr(current, "kind", None) is not SpanKind.SERVER:
            return False
        if isinstance(current, ServerSpan):
            return False  # of the request in which this one is made
        request.adopt(current)  # type: ignore[attr-defined]
        request.scope["state"]["trace_id"] = request.trace_id
        request.scope["fastapi.telemetry"] = None
        return True

    # What happens to one that has ended.

    def _meet(self, processors: tuple[Any, ...]) -> None:
        """Find out who wants to be told more than that a span has ended."""
        if processors is self._processors:
            return
        idle = (BatchSpanProcessor, SimpleSpanProcessor, SpanQueue)
        self._processors = processors
        self._attentive = [one for one in processors if type(one) not in idle]

    def _ended(self, span: ServerSpan) -> None:
        for processor in self._attentive:
            if hasattr(processor, "_on_ending"):
                processor._on_ending(span)
        tracer = self._tracer
        span._resource = tracer.resource
        tracer.span_processor.on_end(span)


class _HeaderGetter(Getter[Mapping[bytes, bytes]]):
    """Reads the headers of one request for propagators."""

    def __init__(self, request: RequestContext) -> None:
        self._request = request

    def get(self, carrier: Mapping[bytes, bytes], key: str) -> list[str] | None:
        name = key.lower().encode("latin-1")
        raw = self._request.scope["headers"]
        if name == b"traceparent" and occurs_twice(self._request.headers, raw, name):
            return None
        values = [value.decode("latin-1") for header, value in raw if header == name]
        # The propagator of baggage reads one value.
        return [",".join(values)] if values and name == b"baggage" else values or None

    def keys(self, carrier: Mapping[bytes, bytes]) -> list[str]:
        return [name.decode("latin-1") for name in carrier]
