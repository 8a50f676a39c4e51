"""What a real Collector has written into a file, read as if it had come here."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

from google.protobuf import json_format  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from tests.tracing.receiver import Receiver


def written(path: str, text: str) -> Receiver:
    """Return what the exports say that have this text in them: the ids of a trace, the name of a service."""
    receiver = Receiver()
    takers: dict[str, tuple[Any, Callable[[Any], None]]] = {
        "resourceSpans": (trace_service_pb2.ExportTraceServiceRequest, receiver.take_spans),
        "resourceLogs": (logs_service_pb2.ExportLogsServiceRequest, receiver.take_records),
        "resourceMetrics": (metrics_service_pb2.ExportMetricsServiceRequest, receiver.take_metrics),
    }
    with Path(path).open(encoding="utf-8") as lines:
        # The last one may be half written yet.
        for line in (line for line in lines if text in line and line.endswith("\n")):
            export = json.loads(line)
            ((kind, _),) = export.items()
            request, take = takers[kind]
            take(json_format.ParseDict(_with_ids(export), request(), ignore_unknown_fields=True))
    return receiver


def _with_ids(value: Any) -> Any:
    """Return the export with its ids in base64, as Protobuf's JSON has them: OTLP's has them in hex."""
    if isinstance(value, list):
        return [_with_ids(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        key: b64encode(bytes.fromhex(one)).decode() if key in {"traceId", "spanId", "parentSpanId"} else _with_ids(one)
        for key, one in value.items()
    }
