"""The server span: a span like any other to whoever looks at it, made and ended for a fraction of what the SDK's costs.

What it says of the request is noted when it ends and put together when somebody reads it, or adds to it before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import time_ns
from typing import TYPE_CHECKING, Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits
from opentelemetry.sdk.util import BoundedList
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from belvedere import failures
from belvedere.tracing.describe import type_of
from belvedere.tracing.thrown import told, traceback_of

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import TraceState

    from belvedere.context import RequestContext
    from belvedere.tracing.describe import Describer, Noted

Attributes = dict[str, Any]

UNSET = Status(StatusCode.UNSET)
FAILED = Status(StatusCode.ERROR)
FLAGS = tuple(TraceFlags(flags) for flags in range(4))
"""Those of W3C Trace Context, by number: making one for each span costs as much as a span's dictionary."""

_STATELESS = SpanContext(1, 1, False).trace_state
_AS_KNOWN = tuple(SpanContext(1, 2, False, FLAGS[1])) == (1, 2, False, FLAGS[1], _STATELESS, True)
"""Whether a `SpanContext` of this version is made of what those were that we know."""


class Blueprint:
    """What all server spans of an application share.

    Args:
        describe: knows what is to be said of a request, and its span's name.
        hide: replaces in a text what must not leave the process.
        ended: takes each span that has ended.
    """

    def __init__(
        self,
        limits: SpanLimits,
        scope: InstrumentationScope,
        describe: Describer,
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

    _known: SpanContext | None = None

    def get_span_context(self) -> SpanContext:
        # Most are never asked.
        known = self._known
        if known is None:
            trace, span, state = int(self.trace, 16), int(self.span, 16), self._state
            if _AS_KNOWN and trace and span:
                # What the class does itself, checks of ids that are no others than ours left out.
                fields = (trace, span, False, self._flags, _STATELESS if state is None else state, True)
                known = tuple.__new__(SpanContext, fields)
            else:
                known = SpanContext(trace, span, False, self._flags, state)
            self._known = known
        return known

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


class ServerSpan(Unrecorded, ReadableSpan):
    """The span of a request that is recorded: what is written to while it runs, and what exporters read afterwards.

    What the SDK's own has in attributes that begin with `_` is here as well, under these names: its methods read them,
    and processors of others change them. Those that most spans never need are the class's.

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
        self._blueprint = blueprint
        self.request: RequestContext | None = request
        self._parent = parent
        self._start_time = time_ns()

    kind = _kind = SpanKind.SERVER
    _start_time: int
    _end_time: int | None = None
    _status = UNSET
    _resource: Resource | None = None  # type: ignore[assignment]
    _events: Sequence[Event] = ()
    _links: Sequence[Link] = ()
    _instrumentation_info = None
    _noted: Noted | None = None
    _called: str | None = None
    _said: Any = None

    @property
    def _context(self) -> SpanContext:  # type: ignore[override]
        return self.get_span_context()

    @property
    def _instrumentation_scope(self) -> InstrumentationScope:  # type: ignore[override]
        return self._blueprint.scope

    @property
    def _name(self) -> str:
        return self._described()[0] if self._called is None else self._called

    @_name.setter
    def _name(self, name: str) -> None:
        self._called = name

    @property
    def _attributes(self) -> Any:
        """What it says so far; while it is recorded, it is kept from now on by the SDK's own rules."""
        if self._said is None:
            said = self._described()[1]
            if self._end_time is None or not self._blueprint.unlimited:
                limits = self._blueprint.limits
                most, longest = limits.max_span_attributes, limits.max_span_attribute_length
                self._said = BoundedAttributes(most, said, immutable=False, max_value_len=longest)
            else:
                self._said = said
        return self._said

    @_attributes.setter
    def _attributes(self, attributes: Any) -> None:
        self._said = attributes

    def _described(self) -> tuple[str, Attributes]:
        """Return name and attributes by what is known of the request now, or was when it ended."""
        describe = self._blueprint.describe
        if self._noted is None:
            return ("", {}) if self.request is None else describe(self.request)
        try:
            return describe.spelled_out(self._noted)
        except Exception as error:  # read by whoever sends it, with others
            failures.contain("tracing", error)
            return "", {}

    def is_recording(self) -> bool:
        return self._end_time is None

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        if self._end_time is None:
            kept = self._attributes
            for key, value in attributes.items():
                kept[key] = value

    def set_attribute(self, key: str, value: Any) -> None:
        if self._end_time is None:
            self._attributes[key] = value

    def add_event(self, name: str, attributes: Any = None, timestamp: int | None = None) -> None:
        if self._end_time is not None:
            return
        limits = self._blueprint.limits
        if not isinstance(self._events, BoundedList):
            self._events = BoundedList(limits.max_events)
        self._events.append(Event(name, self._bounded(attributes, limits.max_event_attributes), timestamp))

    def add_link(self, context: SpanContext, attributes: Any = None) -> None:
        if self._end_time is not None or not (context.is_valid or attributes or context.trace_state):
            return
        limits = self._blueprint.limits
        if not isinstance(self._links, BoundedList):
            self._links = BoundedList(limits.max_links)
        self._links.append(Link(context, self._bounded(attributes, limits.max_link_attributes)))

    def update_name(self, name: str) -> None:
        if self._end_time is None:
            self._called = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        # OK is final, and UNSET says nothing (https://opentelemetry.io/docs/specs/otel/trace/api/#set-status).
        new = Status(status, description) if isinstance(status, StatusCode) else status
        if self._end_time is None and new.status_code is not StatusCode.UNSET and not self._is_ok:
            self._status = new

    def record_exception(
        self, exception: BaseException, attributes: Any = None, timestamp: int | None = None, escaped: bool = False
    ) -> None:
        """Add an event that shows the exception, without what must not leave the process."""
        hide = self._blueprint.hide
        shown = {
            "exception.type": type_of(exception),
            "exception.message": told(exception, hide),
            "exception.stacktrace": traceback_of(exception, hide),
            "exception.escaped": str(escaped),
        }
        self.add_event("exception", {**shown, **(attributes or {})}, timestamp)

    def end(self, end_time: int | None = None) -> None:
        if self._end_time is None:
            self.finish(end_time or time_ns())

    def finish(self, end_time: int, error: BaseException | None = None, failed: bool = False) -> None:
        """End it: the request is over, or somebody ends it before."""
        if error is not None:
            self.record_exception(error, escaped=True)
        if failed and self._status is UNSET:
            self._status = FAILED
        self._end_time = end_time
        request, self.request = self.request, None
        if request is not None:
            describe = self._blueprint.describe
            self._noted = noted = describe.note(request)
            if self._said is not None:
                # What the application has said itself is kept.
                for key, value in describe.spelled_out(noted)[1].items():
                    if key not in self._said:
                        self._said[key] = value
        self._blueprint.ended(self)

    @property
    def _is_ok(self) -> bool:
        return self._status.status_code is StatusCode.OK

    def _bounded(self, attributes: Any, most: int | None) -> BoundedAttributes:
        return BoundedAttributes(most, attributes, max_value_len=self._blueprint.limits.max_attribute_length)
