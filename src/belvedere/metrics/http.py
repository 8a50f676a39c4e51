"""The HTTP metrics: an observer that counts each request once, under the template of its route."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Sequence

from belvedere import conventions as names
from belvedere.context import RequestContext
from belvedere.conventions import KNOWN_METHODS, OTHER_METHOD, OVERFLOW, SIZE_BUCKETS, MetricName
from belvedere.metrics.cardinality import ContextValues, Folded
from belvedere.metrics.families import Cells, ExemplarCell, Family, Series
from belvedere.settings import MetricSettings

Key = tuple[str, str, int, tuple[str, ...]]
"""Method, endpoint, status, and the values of the context labels."""


class _Answer:
    """The cells that one kind of answer updates: what is looked up per request."""

    __slots__ = ("duration", "exemplars", "request_size", "requests", "response_size")

    def __init__(self, requests: Series, duration: Series, request_size: Series, response_size: Series) -> None:
        self.requests: Cells = requests.cells
        self.duration: Cells = duration.cells
        self.exemplars: list[ExemplarCell | None] = duration.exemplars
        self.request_size: Cells = request_size.cells
        self.response_size: Cells = response_size.cells


class HttpMetrics:
    """Counts requests, their duration and sizes, those in progress, their exceptions, and WebSocket connections.

    Args:
        settings: names, labels, buckets and bounds.
        folded: counts updates that a bound left no series for.
        now: Unix time in seconds, for exemplars.
    """

    feature = "metrics"

    def __init__(self, settings: MetricSettings, folded: Folded, now: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._folded = folded
        self._now = now
        self._constants = tuple(settings.constant_labels.values())
        self._context = ContextValues(settings.context_labels)
        self._labelled = bool(self._context.names)
        self.requests = self._family(names.HTTP_REQUESTS)
        self.duration = self._family(names.HTTP_DURATION, settings.buckets)
        self.in_progress = self._family(names.HTTP_IN_PROGRESS, context=False)
        self.request_size = self._family(names.HTTP_REQUEST_SIZE, SIZE_BUCKETS)
        self.response_size = self._family(names.HTTP_RESPONSE_SIZE, SIZE_BUCKETS)
        self.exceptions = self._family(names.HTTP_EXCEPTIONS)
        self.connections = self._family(names.WEBSOCKET_CONNECTIONS, context=False)
        self.active = self._family(names.WEBSOCKET_ACTIVE, context=False)
        folding = (self.requests, self.duration, self.request_size, self.response_size)
        self._folding = [name for family in folding for name in family.names]
        self._bounds = self.duration.bounds
        self._answers: dict[Key, _Answer] = {}
        self._progress: dict[str, Cells] = {}

    @property
    def families(self) -> Sequence[Family]:
        return (
            self.requests,
            self.duration,
            self.in_progress,
            self.request_size,
            self.response_size,
            self.exceptions,
            self.connections,
            self.active,
        )

    def add_bound(self, seconds: float) -> None:
        """Make `seconds` an exact bucket of the duration histogram."""
        self.duration.add_bound(seconds)
        self.look_up_again()

    def look_up_again(self) -> None:
        """Forget where the cells of series lie; to be called when they have moved."""
        self._answers.clear()
        self._progress.clear()

    def begin(self, request: RequestContext) -> None:
        if request.excluded:
            return
        if request.websocket:
            self._of(self.connections, request.endpoint, "accepted")[0] += 1.0
            # A middleware may accept before a route is known: what is counted up here is counted down there.
            request.begun_as = request.endpoint
            self._of(self.active, request.begun_as)[0] += 1.0
            return
        try:
            self._progress[request.method][0] += 1.0
        except KeyError:
            self._progress_of(request.method)[0] += 1.0

    def finish(self, request: RequestContext) -> None:
        if request.excluded:
            return
        if request.websocket:
            self._finish_websocket(request)
            return
        method = request.method
        # First of all: it must come back to 0, whatever fails below.
        try:
            self._progress[method][0] -= 1.0
        except KeyError:
            self._progress_of(method)[0] -= 1.0
        context = self._context_of(request) if self._labelled else ()
        key = (method, request.endpoint, request.status, context)
        try:
            answer = self._answers[key]
        except KeyError:
            answer = self._answer(key)
        answer.requests[0] += 1.0
        duration = request.duration
        cells = answer.duration
        cells[0] += duration
        at = bisect_left(self._bounds, duration) + 1
        cells[at] += 1.0
        if request.sampled:
            answer.exemplars[at] = (request.trace_id, duration, self._now())
        size = request.request_bytes
        if size:
            cells = answer.request_size
            cells[0] += size
            cells[bisect_left(SIZE_BUCKETS, size) + 1] += 1.0
        else:
            # Most requests have no body.
            answer.request_size[1] += 1.0
        size = request.response_bytes
        cells = answer.response_size
        cells[0] += size
        cells[bisect_left(SIZE_BUCKETS, size) + 1] += 1.0
        if request.exception is not None:
            self._count_exception(request, context)

    def _finish_websocket(self, request: RequestContext) -> None:
        begun_as = getattr(request, "begun_as", None)
        if begun_as is not None:
            self._of(self.active, begun_as)[0] -= 1.0
        if request.exception is not None:
            self._of(self.connections, request.endpoint, "failed")[0] += 1.0
            self._count_exception(request, self._context.admit(request.bound))
        elif request.status != 101:
            self._of(self.connections, request.endpoint, "refused")[0] += 1.0

    def _answer(self, key: Key) -> _Answer:
        method, endpoint, status, context = key
        method = _known(method)
        room = self._room(self.requests, (method, endpoint, str(status), *self._constants), context)
        if room != context:
            if OVERFLOW not in context:
                self._note(self._folding)
            key = (method, endpoint, status, room)
            known = self._answers.get(key)
            if known is not None:
                return known
        rest = (*self._constants, *room)
        by_status = (str(status),) if self._settings.duration_status else ()
        answer = _Answer(
            self.requests.get(method, endpoint, str(status), *rest),
            self.duration.get(method, endpoint, *by_status, *rest),
            self.request_size.get(method, endpoint, *rest),
            self.response_size.get(method, endpoint, *rest),
        )
        if method != OTHER_METHOD:
            # Methods nobody knows are as many as somebody likes to send.
            self._answers[key] = answer
        return answer

    def _progress_of(self, method: str) -> Cells:
        known = _known(method)
        cells = self._of(self.in_progress, known)
        if known == method:
            self._progress[method] = cells
        return cells

    def _of(self, family: Family, *values: str) -> Cells:
        return family.get(*values, *self._constants).cells

    def _count_exception(self, request: RequestContext, context: tuple[str, ...]) -> None:
        fixed = (_known(request.method), request.endpoint, type(request.exception).__name__, *self._constants)
        context = self._room(self.exceptions, fixed, context)
        if OVERFLOW in context:
            self._note(self.exceptions.names)
        self.exceptions.get(*fixed, *context).cells[0] += 1.0

    def _context_of(self, request: RequestContext) -> tuple[str, ...]:
        values = self._context.admit(request.bound)
        if OVERFLOW in values:
            self._note(self._folding)
        return values

    def _room(self, family: Family, fixed: tuple[str, ...], context: tuple[str, ...]) -> tuple[str, ...]:
        """Return `context`, all of it folded where the family is full; `fixed` is bounded by construction."""
        if len(family.series) < self._settings.max_series or (*fixed, *context) in family.series:
            return context
        return (OVERFLOW,) * len(context)

    def _note(self, metrics: Sequence[str]) -> None:
        for metric in metrics:
            self._folded.note(metric)

    def _family(self, metric: MetricName, bounds: Sequence[float] = (), *, context: bool = True) -> Family:
        called = self._settings.names.get(metric.name, (metric.name,))
        if metric.type == "counter":
            called = tuple(name if name.endswith("_total") else f"{name}_total" for name in called)
        labels = list(metric.labels)
        if metric is names.HTTP_DURATION and self._settings.duration_status:
            labels.append("status")
        renamed = [self._settings.labels.get(label, label) for label in labels]
        renamed += [*self._settings.constant_labels, *(self._context.names if context else ())]
        family = Family(called, metric.type, metric.help, renamed, bounds)
        if context and self._context.names:
            family.max_series, family.first_foldable = (
                self._settings.max_series,
                len(renamed) - len(self._context.names),
            )
        return family


def _known(method: str) -> str:
    return method if method in KNOWN_METHODS or method == "WEBSOCKET" else OTHER_METHOD
