"""A small OTLP collector of the tests' own: takes traces, logs and metrics over HTTP and gRPC, and keeps them."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

DEADLINE = 60.0


@dataclass(frozen=True)
class Sent:
    """One span, record or metric as it arrived, with what it is of."""

    item: Any
    resource: dict[str, Any]
    scope: str

    @property
    def attributes(self) -> dict[str, Any]:
        return values(self.item.attributes)

    @property
    def trace_id(self) -> str:
        return str(self.item.trace_id.hex())

    @property
    def span_id(self) -> str:
        return str(self.item.span_id.hex())


@dataclass
class Receiver:
    """What arrived; `status` is what HTTP is answered with."""

    http: str = ""
    grpc: str = ""
    status: int = 200
    spans: list[Sent] = field(default_factory=list)
    records: list[Sent] = field(default_factory=list)
    metrics: list[Sent] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def wait(self, condition: Callable[[Receiver], bool], seconds: float = DEADLINE) -> Receiver:
        """Return once the condition holds of what arrived."""
        deadline = time.monotonic() + seconds
        while not condition(self):
            assert time.monotonic() < deadline, (len(self.spans), len(self.records), len(self.metrics))
            time.sleep(0.02)
        return self

    def take_spans(self, request: Any) -> None:
        for of in request.resource_spans:
            for scope in of.scope_spans:
                self.spans += [Sent(one, values(of.resource.attributes), scope.scope.name) for one in scope.spans]

    def take_records(self, request: Any) -> None:
        for of in request.resource_logs:
            for scope in of.scope_logs:
                self.records += [
                    Sent(one, values(of.resource.attributes), scope.scope.name) for one in scope.log_records
                ]

    def take_metrics(self, request: Any) -> None:
        for of in request.resource_metrics:
            for scope in of.scope_metrics:
                self.metrics += [Sent(one, values(of.resource.attributes), scope.scope.name) for one in scope.metrics]


def values(attributes: Any) -> dict[str, Any]:
    """Return attributes as a dictionary."""
    return {one.key: _value(one.value) for one in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    if kind == "kvlist_value":
        return values(value.kvlist_value.values)
    return None if kind is None else getattr(value, kind)


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Listen on two free ports until the block ends."""
    receiver = Receiver()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(receiver))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    over_grpc = grpc.server(ThreadPoolExecutor(4))
    _serve_grpc(over_grpc, receiver)
    port = over_grpc.add_insecure_port("127.0.0.1:0")
    over_grpc.start()
    receiver.http = f"http://127.0.0.1:{server.server_address[1]}"
    receiver.grpc = f"http://127.0.0.1:{port}"
    try:
        yield receiver
    finally:
        over_grpc.stop(None).wait()
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    paths: dict[str, tuple[Any, Callable[[Any], None]]] = {
        "/v1/traces": (trace_service_pb2.ExportTraceServiceRequest, receiver.take_spans),
        "/v1/logs": (logs_service_pb2.ExportLogsServiceRequest, receiver.take_records),
        "/v1/metrics": (metrics_service_pb2.ExportMetricsServiceRequest, receiver.take_metrics),
    }

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            receiver.headers.append({name.lower(): value for name, value in self.headers.items()})
            status = receiver.status if self.path in paths else 404
            if status == 200:
                kind, take = paths[self.path]
                take(kind.FromString(body))
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Nobody reads it."""

    return Handler


def _serve_grpc(server: Any, receiver: Receiver) -> None:
    def headers(context: Any) -> None:
        receiver.headers.append({name: str(value) for name, value in context.invocation_metadata()})

    class Traces(trace_service_pb2_grpc.TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the service's own name
            headers(context)
            receiver.take_spans(request)
            return trace_service_pb2.ExportTraceServiceResponse()

    class Logs(logs_service_pb2_grpc.LogsServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - as above
            headers(context)
            receiver.take_records(request)
            return logs_service_pb2.ExportLogsServiceResponse()

    class Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - as above
            headers(context)
            receiver.take_metrics(request)
            return metrics_service_pb2.ExportMetricsServiceResponse()

    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Traces(), server)  # type: ignore[no-untyped-call]
    logs_service_pb2_grpc.add_LogsServiceServicer_to_server(Logs(), server)  # type: ignore[no-untyped-call]
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(Metrics(), server)  # type: ignore[no-untyped-call]
