"""What goes out with a task: the request id and the trace, in the headers of its message."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from belvedere import context, failures
from belvedere.context import PROPAGATED
from belvedere.conventions import SpanAttribute
from belvedere.integrations._celery.figures import FEATURE, Figures
from belvedere.integrations.spans import trace_context


class Sending:
    """One task that is being sent.

    Args:
        figures: has tracer and header.
        name: the task's.
    """

    def __init__(self, figures: Figures, name: str) -> None:
        self.name = name
        self.figures = figures
        self._span: Any = None
        if figures.spans.tracer is not None:
            attributes = {
                "messaging.system": figures.system,
                "messaging.operation.name": "send",
                "messaging.operation.type": "send",
                SpanAttribute.TASK_NAME: name,
            }
            self._span = figures.spans.begin(f"send {name}", attributes, kind="PRODUCER")

    def address(self, headers: dict[str, Any], came: Mapping[str, Any], exchange: Any, routing_key: Any) -> None:
        """Add to the headers what is to go with the message; those that the caller has set stay.

        Args:
            headers: of the message.
            came: headers of the task that sends this one: a retry repeats them as if the caller had set them.
            exchange: that it is sent to.
            routing_key: with which it is.
        """
        try:
            ids = self._ids()
            if headers.get("traceparent") not in {None, came.get("traceparent")}:
                # What belongs to the caller's own is the caller's to send.
                ids = {name: value for name, value in ids.items() if name == self.figures.header}
            for name, value in ids.items():
                if headers.get(name) in {None, came.get(name)}:
                    headers[name] = value
            self._describe(headers, exchange, routing_key)
        except Exception as error:
            failures.contain(FEATURE, error)

    def end(self, error: BaseException | None) -> None:
        if self._span is not None:
            self.figures.spans.end(self._span, error)

    def _ids(self) -> dict[str, str]:
        request_id = context.request_id()
        ids = {} if request_id is None else {self.figures.header: request_id}
        if self.figures.spans.tracer is not None and self._span is None:
            return ids  # OpenTelemetry's own instrumentation sends its context.
        return {**ids, **trace_context(self._span)}

    def _describe(self, headers: Mapping[str, Any], exchange: Any, routing_key: Any) -> None:
        if self._span is None or not self._span.is_recording():
            return
        found = {
            # To the default exchange, the key is the name of a queue.
            "messaging.destination.name": exchange or routing_key,
            "messaging.message.id": headers.get("id"),
            "messaging.message.conversation_id": headers.get("root_id"),
            "messaging.rabbitmq.destination.routing_key": routing_key if exchange else None,
            SpanAttribute.REQUEST_ID: headers.get(self.figures.header),
        }
        for key, value in found.items():
            if value:
                self._span.set_attribute(key, str(value))


sending: ContextVar[Sending | None] = ContextVar("belvedere_celery_sending", default=None)
"""The task that is being sent here."""


def received(request: Any, names: tuple[str, ...]) -> dict[str, str]:
    """Return those headers of a task's message that are text, by the names given.

    Args:
        request: of the task, as Celery has it: headers are attributes, those that a caller gave in eager mode a
            mapping.
        names: of headers.
    """
    own = getattr(request, "headers", None)
    own = own if isinstance(own, Mapping) else {}
    found = ((name, own.get(name) or getattr(request, name, None)) for name in names)
    return {name: value for name, value in found if isinstance(value, str)}


def extracted(carrier: Mapping[str, str]) -> Any:
    """Return OpenTelemetry's context of what came with a task; `None` if nothing did."""
    if not carrier or "opentelemetry" not in sys.modules:
        return None
    from opentelemetry import propagate

    return propagate.extract(carrier)


def trace_fields() -> tuple[str, ...]:
    """Return the names of headers that carry a trace: W3C's, and those of the propagators that are set."""
    if "opentelemetry" not in sys.modules:
        return PROPAGATED
    from opentelemetry import propagate

    return (*PROPAGATED, *sorted(propagate.get_global_textmap().fields - set(PROPAGATED)))
