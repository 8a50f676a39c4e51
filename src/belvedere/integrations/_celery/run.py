"""One run of a task: under the id that came with it, in its trace, counted and told once."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

import structlog.contextvars

from belvedere import context
from belvedere.asgi.identity import make_ids, parse_traceparent, spare_ids
from belvedere.context import Job, Trace
from belvedere.conventions import SpanAttribute
from belvedere.integrations._celery.figures import RETRY, Figures
from belvedere.integrations._celery.sending import extracted, received, trace_fields


class Run:
    """From before a task is called until all about it is done.

    Args:
        figures: of every part.
        traced: those that make the span and know the id's header.
        teller: those that write the line.
        task: of Celery.
        request: what Celery knows of this run.
    """

    def __init__(self, figures: Sequence[Figures], traced: Figures, teller: Figures, task: Any, request: Any) -> None:
        self.task_id = request.id
        self.outer = running.get()
        """The run that called this one, in eager mode."""
        self._figures = figures
        self._traced = traced
        self._teller = teller
        self._task = task
        self._request = request
        self._eager = bool(request.is_eager)
        self._span: Any = None
        self._token: Any = None
        carrier = received(request, trace_fields())
        self.request_id = _request_id(request, traced, eager=self._eager)
        if self._eager:
            # Tried again at once, it comes by no message that could carry the id.
            request.headers = {**(request.headers or {}), traced.header: self.request_id}
        self._begin_span(carrier)
        self._job = Job(self.request_id, self._trace(carrier))
        self._bound = dict(structlog.contextvars.get_contextvars())
        self._job.begin()
        self._began = time.perf_counter()

    @property
    def tells(self) -> bool:
        """Whether there will be a line of ours."""
        return self._teller.log is not None

    def end(self, state: str | None, result: Any, *, told_elsewhere: bool) -> None:
        """Count, tell, and leave everything as it was before.

        Args:
            state: Celery's; `None` where the task was cut short.
            result: what it returned or raised.
            told_elsewhere: whether the process that waits for this one tells how a task ends that was cut short.
        """
        seconds = time.perf_counter() - self._began
        status = (state or "failure").lower()
        error = result if isinstance(result, BaseException) else sys.exception()
        if status == RETRY:
            error = getattr(error, "exc", None) or error
        try:
            if state is not None or not told_elsewhere:
                for figures in distinct(self._figures):
                    figures.count(self._task.name, status, seconds)
                expected = isinstance(error, tuple(getattr(self._task, "throws", ()) or ()))
                fields = described(self._request)
                self._teller.tell(self._task.name, status, seconds, error, expected, **fields)
        finally:
            self._job.end()
            self._end_span(status, error)
            if not self._eager and structlog.contextvars.get_contextvars() != self._bound:
                # A worker runs many tasks in one thread: what one has bound is not the next one's.
                structlog.contextvars.clear_contextvars()
                structlog.contextvars.bind_contextvars(**self._bound)

    def _begin_span(self, carrier: dict[str, str]) -> None:
        spans = self._traced.spans
        if spans.tracer is None:
            return
        request, info = self._request, self._request.delivery_info or {}
        below = extracted(carrier)
        attributes = {
            "messaging.system": self._traced.system,
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": info.get("exchange") or info.get("routing_key"),
            "messaging.message.id": request.id,
            "messaging.message.conversation_id": request.root_id,
            SpanAttribute.TASK_NAME: self._task.name,
            SpanAttribute.TASK_RETRIES: request.retries,
            SpanAttribute.REQUEST_ID: self.request_id,
        }
        self._span = spans.begin(
            f"process {self._task.name}",
            {key: value for key, value in attributes.items() if value is not None},
            # What is called at once, in the same process, has come by no message.
            kind="INTERNAL" if self._eager else "CONSUMER",
            below=below,
        )
        if self._span is not None:
            from opentelemetry import context as current
            from opentelemetry import trace

            self._token = current.attach(trace.set_span_in_context(self._span, below))

    def _end_span(self, status: str, error: BaseException | None) -> None:
        if self._span is None:
            return
        from opentelemetry import context as current

        if self._token is not None:
            current.detach(self._token)
        self._span.set_attribute(SpanAttribute.TASK_STATUS, status)
        self._traced.spans.end(self._span, (error or status) if status == "failure" else None)

    def _trace(self, carrier: dict[str, str]) -> Trace:
        found = self._span.get_span_context() if self._span is not None else _current_span()
        if found is not None and found.is_valid:
            span_id = f"{found.span_id:016x}" if self._span is not None else None
            return Trace(f"{found.trace_id:032x}", span_id, carrier)
        headers = {name.encode(): value.encode("latin-1", "replace") for name, value in carrier.items()}
        parent = parse_traceparent(headers, list(headers.items()))
        # What is not valid goes no further.
        return Trace() if parent is None else Trace(parent[0], None, carrier)


running: ContextVar[Run | None] = ContextVar("belvedere_celery_run", default=None)
"""The task that runs here."""


def described(request: Any) -> dict[str, Any]:
    """Return what a line tells of a run."""
    info = request.delivery_info or {}
    return {"task_id": request.id, "queue": info.get("routing_key") or None, "retries": request.retries or 0}


def distinct(figures: Sequence[Figures]) -> list[Figures]:
    """Return figures with metrics of their own: several parts of one application share theirs."""
    return list({id(each.tasks): each for each in figures}.values())


def request_id_of(request: Any, header: str) -> str | None:
    """Return the valid request id that came with a task."""
    came = received(request, (header,)).get(header)
    return came if came is not None and context.valid_id(came.encode("utf-8", "replace")) else None


def _request_id(request: Any, figures: Figures, *, eager: bool) -> str:
    known = context.request_id() if eager else None
    known = known or request_id_of(request, figures.header)
    if known is not None:
        return known
    digits, uuid = spare_ids.pop() if spare_ids else make_ids()
    return digits if figures.hex else uuid


def _current_span() -> Any:
    if "opentelemetry" not in sys.modules:
        return None
    from opentelemetry import trace

    return trace.get_current_span().get_span_context()
