"""From an answered request to an event: what is recorded of it, in one application."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from belvedere import failures
from belvedere.asgi.closing import ClosingExchange
from belvedere.context import RequestContext
from belvedere.interactions.event import LONGEST, Subject, payload
from belvedere.interactions.figures import Figures
from belvedere.interactions.marker import Mark, Marks
from belvedere.interactions.metadata import Sanitiser, bounded


class Recorder:
    """Hears of every request of one application before its answer is complete, and records those that are marked.

    Args:
        marks: finds those of the owner.
        sanitiser: what makes metadata fit to be kept.
        figures: where it is counted.
        owner: under whom it is found what was added to a request.
        append: takes the event.
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
        append: Callable[[bytes], bool],
        subject_type: type,
    ) -> None:
        self.active = True
        self.figures = figures
        self._owner = owner
        self._marks = marks
        self._sanitiser = sanitiser
        self._append = append
        self._counts = subject_type is int
        self._counters: dict[str, Callable[[], None]] = {}

    def closing(self, request: RequestContext) -> None:
        """Record a request that took a marked route."""
        mark = self._marks.of(request)
        if mark is None or not self.active:
            return
        notes = request.notes.get(self._owner) if type(request) is ClosingExchange and request.notes else None
        bound = request.bound
        self.record(
            mark.event,
            user_id=bound.get("user_id") if bound is not None else None,
            subject=self._subject_of(mark, request, notes),
            path=request.path,
            method=request.method,
            status=request.status,
            trace_id=request.trace_id,
            metadata=self._metadata(request, notes),
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
        metadata: dict[str, Any],
    ) -> bool:
        """Append one event; everything but the metadata is made fit here."""
        text = self._sanitiser.text
        made = payload(
            event,
            user_id=None if user_id is None else str(user_id)[:LONGEST],
            subject=self.subject(subject),
            path=text(path, LONGEST),
            method=method[:64],
            status=status,
            trace_id=trace_id,
            metadata=metadata,
        )
        kept = self._append(made)
        if kept:
            self._count(event)
        return kept

    def metadata(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return fields as they may be kept."""
        return bounded(self._sanitiser.fields(fields))

    def subject(self, value: Any) -> Subject:
        """Return what an event is about as its column takes it, else `None`."""
        if value is None:
            return None
        if not self._counts:
            return self._sanitiser.text(str(value), LONGEST)
        try:
            number = int(value)
        except (TypeError, ValueError, OverflowError):
            return None
        return number if -(2**63) <= number < 2**63 else None

    def _subject_of(self, mark: Mark, request: RequestContext, notes: Any) -> Any:
        if notes is not None and notes.subject is not None:
            return notes.subject
        if mark.subject is None or request.route_scope is None:
            return None
        return request.route_scope.get("path_params", {}).get(mark.subject)

    def _metadata(self, request: RequestContext, notes: Any) -> dict[str, Any]:
        raw = request.scope.get("query_string")
        request_id, trace_id = request.request_id, request.trace_id
        # A made id is the trace id in another spelling.
        apart = request_id != trace_id and request_id.replace("-", "") != trace_id
        if not raw and notes is None and not apart:
            return {}
        metadata: dict[str, Any] = {}
        try:
            if raw:
                metadata = self._sanitiser.query(raw)
            if notes is not None and notes.fields:
                metadata.update(self._sanitiser.fields(notes.fields))
        except Exception as error:  # an event without them is better than none
            failures.contain(self.feature, error)
        if apart:
            metadata = {"request_id": request_id, "trace_id": trace_id, **metadata}
            metadata["request_id"], metadata["trace_id"] = request_id, trace_id
        return bounded(metadata)

    def _count(self, event: str) -> None:
        try:
            self._counters[event]()
        except KeyError:
            counter = self.figures.recorded.labels(event).inc
            if len(self._counters) < 1000:
                self._counters[event] = counter
            counter()


class Notes:
    """What the application added to the event of a request."""

    __slots__ = ("fields", "subject")

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}
        self.subject: Any = None
