"""From an answered request to an event: what is recorded of it, in one application."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from struct import error as struct_error
from types import MappingProxyType
from typing import Any, Final, Protocol

from belvedere import failures
from belvedere.context import RequestContext
from belvedere.conventions import REDACTED
from belvedere.interactions.compact import LAYOUT, SOMEBODY, stamp
from belvedere.interactions.event import LONGEST, Subject, encoded, make_id, numbers, process
from belvedere.interactions.figures import Figures
from belvedere.interactions.marker import Marks, Way
from belvedere.interactions.metadata import Sanitiser, bounded

_NONE: Final[Mapping[str, Any]] = MappingProxyType({})
_now = time.time
_METHOD: Final = 64
"""Characters of a method that are kept."""
_COUNTERS: Final = 1000
"""Counters that are remembered; events by hand may have any name."""
_NAMES: Final = 1000
"""Names of parameters that are remembered."""
_SHORT: Final = 13
_CARD: Final = 10**12
"""Fewer digits than the number of a card has. What has no dot, `@` or `=` is no token, address or credential."""

_DECIMAL_ZEROS: Final = re.compile(r"(?<=\d)\.0+(?=\s*\Z)")


class Append(Protocol):
    """Takes an event, and when it happened if that is known; returns whether it is kept."""

    def __call__(self, payload: bytes, now: float | None = None, /) -> bool: ...


class Recorder:
    """Hears of every request of one application before its answer is complete, and records those that are marked.

    Args:
        marks: finds those of the owner.
        sanitiser: what makes metadata fit to be kept.
        figures: where it is counted.
        owner: under whom it is found what was added to a request.
        append: takes an event; it may be changed.
        wake: has them delivered soon.
        subject_type: what a subject is.
    """

    feature = "interactions"

    def __init__(
        self,
        marks: Marks,
        sanitiser: Sanitiser,
        figures: Figures,
        *,
        owner: object,
        append: Append,
        wake: Callable[[], None],
        subject_type: type,
    ) -> None:
        self.active = True
        self.figures = figures
        self._owner = owner
        self._marks = marks
        self._ways = marks.known
        self._sanitiser = sanitiser
        self.append = append
        self._wake = wake
        self._counts = subject_type is int
        self._counters: dict[str, Callable[[], None]] = {}
        self._harmless: set[str] = set()

    def closing(self, request: RequestContext) -> None:
        """Record a request that took a marked route."""
        # Code that runs once per request finds little of itself in the processor's near caches: what counts is how many
        # functions and objects it touches. What an attribute holds becomes a variable before it is called, as Python
        # 3.11 searches the class for it otherwise, each time.
        try:
            way = self._ways[id(request.route)]
        except KeyError:
            way = self._marks.look(request.route)
        if request.method not in way.heads or not self.active:
            return
        now = _now()
        event = None
        if (
            request.notes is None
            # Else the request id is the trace id, or was made of it.
            and request.parent_id is None
            and request.span_id is None
        ):
            try:
                scope: Any = request.route_scope
                parameters = scope["path_params"]
                for name in parameters:
                    # Nothing can hide in numbers and short words, unless they are called so. The rest is the route's.
                    value = parameters[name]
                    if (
                        type(value) is not str
                        or len(value) >= _SHORT
                        or not value.isalnum()
                        or name not in self._harmless
                    ):
                        break
                else:
                    path = request.path
                    subject = parameters.get(way.subject, "")
                    user = "" if request.bound is None else _user(request.bound)
                    head = way.heads[request.method]
                    if head and "\n" not in path and "\n" not in user and not request.scope["query_string"]:
                        text = f"{head}{request.trace_id}\n{path}\n{subject}\n{user}"
                        event = stamp(LAYOUT, now, process.bytes, next(numbers), request.status) + text.encode()
            except (KeyError, UnicodeEncodeError, struct_error):
                pass  # JSON has ways to say it.
        append, wake = self.append, self._wake
        if append(event or self._json(request, way), now):
            try:
                count = self._counters[way.event]
            except KeyError:
                self._count(way.event)
            else:
                count()
        wake()

    def _json(self, request: RequestContext, way: Way) -> bytes:
        """Return the event of any request, whatever there is to say of it."""
        scope = request.route_scope
        parameters: Mapping[str, Any] = _NONE if scope is None else scope.get("path_params", _NONE)
        subject = None if way.subject is None else parameters.get(way.subject)
        bound = request.bound
        user_id = None if bound is None else bound.get("user_id")
        notes = None if request.notes is None else request.notes.get(self._owner)
        if notes is not None and notes.subject is not None:
            subject = notes.subject
        # Else the request id is the trace id, or was made of it.
        apart = request.parent_id is not None or request.span_id is not None
        metadata: dict[str, Any] = {}
        if apart or notes is not None or request.scope.get("query_string"):
            metadata = self._metadata(request, notes, apart=apart)
        return encoded(
            {
                "event_id": make_id(),
                "event_type": way.event,
                "user_id": None if user_id is None else _text(user_id),
                "subject": None if subject is None else self.subject(subject),
                "path": self._shown(request.path, parameters, way.subject),
                "method": request.method,
                "status": request.status,
                "trace_id": request.trace_id,
                "metadata": metadata,
                "created_at": datetime.now(UTC),
            }
        )

    def record(
        self,
        event: str,
        *,
        user_id: Any,
        subject: Any,
        path: str,
        method: str,
        status: int,
        trace_id: str | None,
        metadata: Mapping[str, Any] | None,
        parameters: Mapping[str, Any] = _NONE,
    ) -> bool:
        """Append one event by hand; everything is made fit here. Return whether it is kept."""
        kept = self.append(
            encoded(
                {
                    "event_id": make_id(),
                    "event_type": event,
                    "user_id": None if user_id is None else _text(user_id),
                    "subject": self.subject(subject),
                    "path": self._sanitiser.text(self._unnamed(path, parameters), LONGEST),
                    "method": method[:_METHOD],
                    "status": status,
                    "trace_id": trace_id,
                    "metadata": self._given(metadata),
                    "created_at": datetime.now(UTC),
                }
            )
        )
        self._wake()
        if kept:
            self._count(event)
        return kept

    def subject(self, value: Any) -> Subject:
        """Return what an event is about as its column takes it, else `None`."""
        if value is None:
            return None
        if not self._counts:
            text = _text(value)
            return None if text is None else self._sanitiser.text(text, LONGEST)
        try:
            # As FastAPI reads the parameter of a path: `1.0` is a whole number to it, and the route has answered.
            number = int(_DECIMAL_ZEROS.sub("", value) if type(value) is str else value)
        except (TypeError, ValueError, OverflowError):
            return None
        except Exception as error:  # an object's own
            failures.contain(self.feature, error)
            return None
        return number if -(2**63) <= number < 2**63 else None

    def _shown(self, path: str, parameters: Mapping[str, Any], subject: str | None) -> str:
        """Return a path without what the names and values of its parameters give away."""
        path = self._unnamed(path, parameters, subject)
        for value in parameters.values():
            if type(value) is int:
                if value < _CARD:
                    continue
                return self._sanitiser.text(path, LONGEST)
            if type(value) is not str or len(value) >= _SHORT or not value.isalnum():
                return self._sanitiser.text(path, LONGEST)
        return path if len(path) <= LONGEST else self._sanitiser.text(path, LONGEST)

    def _unnamed(self, path: str, parameters: Mapping[str, Any], subject: str | None = None) -> str:
        """Return a path without the parameters whose names hide them; the one that a mark asks for is kept."""
        for name, value in parameters.items():
            if name in self._harmless:
                continue
            if not self._sanitiser.hides(name):
                if len(self._harmless) < _NAMES:
                    self._harmless.add(name)
            elif name != subject and (hidden := str(value)):
                parts = path.split("/")
                if hidden in parts:
                    path = "/".join([REDACTED if part == hidden else part for part in parts])
                else:
                    path = path.replace(hidden, REDACTED)
        return path

    def _metadata(self, request: RequestContext, notes: Notes | None, *, apart: bool) -> dict[str, Any]:
        metadata: dict[str, Any] = {}
        try:
            if raw := request.scope.get("query_string"):
                metadata = self._sanitiser.query(raw)
            if notes is not None:
                metadata.update(self._sanitiser.fields(notes.fields))
        except Exception as error:  # an event without them is better than none
            failures.contain(self.feature, error)
        request_id, trace_id = request.request_id, request.trace_id
        if apart and request_id.replace("-", "") != trace_id.replace("-", ""):
            # Not what the client or the application calls so; and first, as what does not fit is left out.
            ids = {"request_id": request_id, "trace_id": trace_id}
            metadata = {**ids, **metadata, **ids}
        return bounded(metadata)

    def _given(self, metadata: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return metadata given by hand; an event without them is better than none."""
        try:
            return bounded(self._sanitiser.fields(metadata)) if metadata else {}
        except Exception as error:
            failures.contain(self.feature, error)
            return {}

    def _count(self, event: str) -> None:
        counter = self._counters.get(event)
        if counter is None:
            counter = self.figures.recorded.labels(event).inc
            if len(self._counters) < _COUNTERS:
                self._counters[event] = counter
        counter()


def _text(value: Any) -> str | None:
    """Return what an object says of itself; an event without it is better than none."""
    try:
        return str(value)[:LONGEST]
    except Exception as error:
        failures.contain(Recorder.feature, error)
        return None


def _user(bound: Mapping[str, Any]) -> str:
    """Return who it is as a compact event says it."""
    user_id = bound.get("user_id")
    text = None if user_id is None else _text(user_id)
    return "" if text is None else f"{SOMEBODY}{text}"


class Notes:
    """What the application added to the event of a request."""

    __slots__ = ("fields", "subject")

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}
        self.subject: Any = None
