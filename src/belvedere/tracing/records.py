"""Log lines as OpenTelemetry's log records.

https://opentelemetry.io/docs/specs/otel/logs/data-model/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NonRecordingSpan, SpanContext
from opentelemetry.trace.propagation import _SPAN_KEY

from belvedere.tracing.span import FLAGS

Line = dict[str, Any]

_SEVERITIES: Final = {
    "debug": SeverityNumber.DEBUG,
    "info": SeverityNumber.INFO,
    "warning": SeverityNumber.WARN,
    "error": SeverityNumber.ERROR,
    "critical": SeverityNumber.FATAL,
}
_WIDEST: Final = 1 << 63
"""OTLP's integers have 64 bits, with a sign."""


class Records:
    """Makes records of lines.

    Args:
        resource: the service that logs.
        keys: the names that `logs.keys` gives to keys of a line.
    """

    def __init__(self, resource: Resource, keys: Mapping[str, str]) -> None:
        self._resource = resource
        self._names = {key: keys.get(key, key) for key in ("timestamp", "level", "event", "trace_id", "span_id")}
        own = {"service": "service.name", "environment": "deployment.environment.name"}
        self._same = {keys.get(key, key): resource.attributes.get(name) for key, name in own.items()}
        self._scope = InstrumentationScope("belvedere")

    def __call__(self, lines: Sequence[tuple[Line, bool]]) -> list[ReadableLogRecord]:
        """Return the records of lines, each with whether its trace is sampled."""
        return [self._record(line, sampled) for line, sampled in lines]

    def _record(self, line: Line, sampled: bool) -> ReadableLogRecord:
        names = self._names
        level = str(line.get(names["level"], ""))
        context = _context(line.get(names["trace_id"]), line.get(names["span_id"]), sampled)
        # A trace id that is none of OpenTelemetry's, such as a caller's own request id, is kept beside.
        taken = {names["timestamp"], names["level"], names["event"]} | (
            {names["trace_id"], names["span_id"]} if context is not None else set()
        )
        attributes = {
            key: plain(value)
            for key, value in line.items()
            if key not in taken and not (key in self._same and self._same[key] == value)
        }
        at = _nanoseconds(line.get(names["timestamp"]))
        record = LogRecord(
            timestamp=at,
            observed_timestamp=at,
            context=context or Context(),
            severity_text=level,
            severity_number=_SEVERITIES.get(level, SeverityNumber.UNSPECIFIED),
            body=str(line.get(names["event"], "")),
            attributes=attributes,
        )
        return ReadableLogRecord(record, self._resource, self._scope)


def plain(value: Any) -> Any:
    """Return a value as OTLP has it: text, numbers, truth, and lists and mappings of these."""
    if isinstance(value, bool | str | float):
        return value
    if isinstance(value, int):
        return value if -_WIDEST <= value < _WIDEST else str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(one) for one in value]
    return "" if value is None else str(value)


def _context(trace_id: Any, span_id: Any, sampled: bool) -> Context | None:
    try:
        found = SpanContext(int(trace_id, 16), int(span_id or "0", 16), False, FLAGS[int(sampled)])
    except (TypeError, ValueError):
        return None
    if len(trace_id) != 32:
        return None
    return Context({_SPAN_KEY: NonRecordingSpan(found)})


def _nanoseconds(timestamp: Any) -> int | None:
    try:
        moment = datetime.fromisoformat(timestamp)
    except (TypeError, ValueError):
        return None
    return int(moment.timestamp()) * 1_000_000_000 + moment.microsecond * 1000
