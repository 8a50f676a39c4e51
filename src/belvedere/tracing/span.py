"""The server span: a span like any other to whoever looks at it, made and ended for a fraction of what the SDK's costs.

What it says of the request is put together when it ends, or when somebody looks at it or adds to it before.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from time import time_ns
from typing import TYPE_CHECKING, Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits
from opentelemetry.sdk.util import BoundedList
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from belvedere.tracing.describe import type_of

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import TraceState

    from belvedere.context import RequestContext

Attributes = dict[str, Any]

UNSET = Status(StatusCode.UNSET)
FAILED = Status(StatusCode.ERROR)
FLAGS = tuple(TraceFlags(flags) for flags in range(4))
"""Those of W3C Trace Context, by number: making one for each span costs as much as a span's dictionary."""

_new = object.__new__
_STATELESS = SpanContext(1, 1, False).trace_state
_AS_KNOWN = tuple(SpanContext(1, 2, False, FLAGS[1])) == (1, 2, False, FLAGS[1], _STATELESS, True)
"""Whether a `SpanContext` of this version is made of what those were that we know."""


class Blueprint:
    """What all server spans of an application share.

    Args:
        describe: returns what is known of a request so far, and its span's name.
        hide: replaces in a text what must not leave the process.
        ended: takes each span that has ended.
    """

    def __init__(
        self,
        limits: SpanLimits,
        scope: InstrumentationScope,
        describe: Callable[[RequestContext], tuple[str, Attributes]],
        hide: Callable[[str], str],
        ended: Callable[[ServerSpan], None],
    ) -> None:
        self.limits = limits
        self.scope = scope
        self.describe = describe
        self.hide = hide
        self.ended = ended
        most = limits.max_span_attributes
        self.unlimited = limits.max_span_attribute_length is None and (most is None or most >= 32)
        """Whether no attribute of our own can be cut or dropped."""


class Unrecorded(Span):
    """The span of a request that is not sampled: it has ids, and nothing else is kept."""

    def __init__(self, trace: str, span: str, flags: TraceFlags, state: TraceState | None = None) -> None:
        self.trace = trace
        self.span = span
        self._flags = flags
        self._state = state
        self._context: SpanContext | None = None

    def get_span_context(self) -> SpanContext:
        # Most are never asked.
        if self._context is None:
            trace, span, state = int(self.trace, 16), int(self.span, 16), self._state
            if _AS_KNOWN and trace and span:
                # What the class does itself, checks of ids that are no others than ours left out.
                known = (trace, span, False, self._flags, _STATELESS if state is None else state, True)
                self._context = tuple.__new__(SpanContext, known)
            else:
                self._context = SpanContext(trace, span, False, self._flags, state)
        return self._context

    @property
    def context(self) -> SpanContext:
        return self.get_span_context()

    def is_recording(self) -> bool:
        return False

    def end(self, end_time: int | None = None) -> None:
        """There is nothing to end."""

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Nobody will read them."""

    def set_attribute(self, key: str, value: Any) -> None:
        """Nobody will read it."""

    def add_event(self, name: str, attributes: Any = None, timestamp: int | None = None) -> None:
        """Nobody will read it."""

    def add_link(self, context: SpanContext, attributes: Any = None) -> None:
        """Nobody will read it."""

    def update_name(self, name: str) -> None:
        """Nobody will read it."""

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Nobody will read it."""

    def record_exception(
        self, exception: BaseException, attributes: Any = None, timestamp: int | None = None, escaped: bool = False
    ) -> None:
        """Nobody will read it."""


class ServerSpan(Unrecorded):
    """The span of a request that is recorded.

    Args:
        parent: the caller's span, or one of this process that was current.
        flags: whether the trace is sampled, which a recorded one need not be.
    """

    def __init__(  # noqa: PLR0917 - one for each request: keywords cost more
        self,
        blueprint: Blueprint,
        request: RequestContext,
        trace: str,
        span: str,
        flags: TraceFlags,
        state: TraceState | None = None,
        parent: SpanContext | None = None,
    ) -> None:
        self.trace = trace
        self.span = span
        self._flags = flags
        self._state = state
        self._context = None
        self._blueprint = blueprint
        self.request: RequestContext | None = request
        self.parent = parent
        self.start_time = time_ns()
        self.end_time: int | None = None
        self.sampled: bool = flags & 1 == 1
        self.status = UNSET
        self._name: str | None = None
        self._attributes: BoundedAttributes | None = None
        self._events: BoundedList[Event] | None = None
        self._links: BoundedList[Link] | None = None

    kind = SpanKind.SERVER
    resource: Resource | None = None

    @property
    def name(self) -> str:
        if self._name is not None or self.request is None:
            return self._name or ""
        return self._blueprint.describe(self.request)[0]

    @property
    def attributes(self) -> BoundedAttributes:
        """What it says so far; from now on it is kept by the SDK's own rules."""
        if self._attributes is None:
            own = {} if self.request is None else self._blueprint.describe(self.request)[1]
            limits = self._blueprint.limits
            self._attributes = BoundedAttributes(
                limits.max_span_attributes, own, immutable=False, max_value_len=limits.max_span_attribute_length
            )
        return self._attributes

    @property
    def events(self) -> Sequence[Event]:
        return self._events or ()

    @property
    def links(self) -> Sequence[Link]:
        return self._links or ()

    @property
    def instrumentation_scope(self) -> InstrumentationScope:
        return self._blueprint.scope

    @property
    def dropped_attributes(self) -> int:
        return self._attributes.dropped if self._attributes is not None else 0

    @property
    def dropped_events(self) -> int:
        return self._events.dropped if self._events is not None else 0

    @property
    def dropped_links(self) -> int:
        return self._links.dropped if self._links is not None else 0

    def is_recording(self) -> bool:
        return self.end_time is None

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        if self.end_time is None:
            kept = self.attributes
            for key, value in attributes.items():
                kept[key] = value

    def set_attribute(self, key: str, value: Any) -> None:
        if self.end_time is None:
            self.attributes[key] = value

    def add_event(self, name: str, attributes: Any = None, timestamp: int | None = None) -> None:
        if self.end_time is not None:
            return
        if self._events is None:
            self._events = BoundedList(self._blueprint.limits.max_events)
        limits = self._blueprint.limits
        self._events.append(Event(name, self._bounded(attributes, limits.max_event_attributes), timestamp))

    def add_link(self, context: SpanContext, attributes: Any = None) -> None:
        if self.end_time is not None or not (context.is_valid or attributes or context.trace_state):
            return
        if self._links is None:
            self._links = BoundedList(self._blueprint.limits.max_links)
        self._links.append(Link(context, self._bounded(attributes, self._blueprint.limits.max_link_attributes)))

    def update_name(self, name: str) -> None:
        if self.end_time is None:
            self._name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        # OK is final, and UNSET says nothing (https://opentelemetry.io/docs/specs/otel/trace/api/#set-status).
        new = Status(status, description) if isinstance(status, StatusCode) else status
        if self.end_time is None and new.status_code is not StatusCode.UNSET and not self._is_ok:
            self.status = new

    def record_exception(
        self, exception: BaseException, attributes: Any = None, timestamp: int | None = None, escaped: bool = False
    ) -> None:
        """Add an event that shows the exception, without what must not leave the process."""
        hide = self._blueprint.hide
        shown = {
            "exception.type": type_of(exception),
            "exception.message": hide(str(exception)),
            "exception.stacktrace": hide("".join(traceback.format_exception(exception))),
            "exception.escaped": str(escaped),
        }
        self.add_event("exception", {**shown, **(attributes or {})}, timestamp)

    def end(self, end_time: int | None = None) -> None:
        if self.end_time is None:
            self.finish(end_time or time_ns())

    def finish(self, end_time: int, error: BaseException | None = None, failed: bool = False) -> None:
        """End it: the request is over, or somebody ends it before."""
        if error is not None:
            self.record_exception(error, escaped=True)
        if failed and self.status is UNSET:
            self.status = FAILED
        self.end_time = end_time
        self._blueprint.ended(self)
        self.request = None

    def readable(self, resource: Resource | None) -> ReadableSpan:
        """Return what exporters read; of the request what is known now, less what the application has said itself."""
        name, attributes = ("", {}) if self.request is None else self._blueprint.describe(self.request)
        kept: Any = attributes
        if self._attributes is not None or not self._blueprint.unlimited:
            kept = self.attributes
            for key, value in attributes.items():
                if key not in kept:
                    kept[key] = value
        # What `ReadableSpan(…)` does, without entering the interpreter once more for it.
        span = _new(ReadableSpan)
        span.__init__(  # type: ignore[misc]
            self._name if self._name is not None else name,
            self.get_span_context(),
            self.parent,
            resource,
            kept,
            self._events or (),
            self._links or (),
            SpanKind.SERVER,
            None,
            self.status,
            self.start_time,
            self.end_time,
            self._blueprint.scope,
        )
        return span

    @property
    def _is_ok(self) -> bool:
        return self.status.status_code is StatusCode.OK

    def _bounded(self, attributes: Any, most: int | None) -> BoundedAttributes:
        return BoundedAttributes(most, attributes, max_value_len=self._blueprint.limits.max_attribute_length)
