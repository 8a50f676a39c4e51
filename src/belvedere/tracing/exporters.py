"""The official OTLP exporters, over HTTP and gRPC, made where and when something is to be sent."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, Literal

from belvedere.settings import TracingSettings
from belvedere.settings.environment import pairs
from belvedere.tracing.hush import hush_exporters
from belvedere.tracing.queue import Send

Signal = Literal["traces", "logs", "metrics"]

_CLASSES: Final = {
    ("traces", "http/protobuf"): ("opentelemetry.exporter.otlp.proto.http.trace_exporter", "OTLPSpanExporter"),
    ("traces", "grpc"): ("opentelemetry.exporter.otlp.proto.grpc.trace_exporter", "OTLPSpanExporter"),
    ("logs", "http/protobuf"): ("opentelemetry.exporter.otlp.proto.http._log_exporter", "OTLPLogExporter"),
    ("logs", "grpc"): ("opentelemetry.exporter.otlp.proto.grpc._log_exporter", "OTLPLogExporter"),
    ("metrics", "http/protobuf"): ("opentelemetry.exporter.otlp.proto.http.metric_exporter", "OTLPMetricExporter"),
    ("metrics", "grpc"): ("opentelemetry.exporter.otlp.proto.grpc.metric_exporter", "OTLPMetricExporter"),
}


_DEFAULT: Final = "http/protobuf"
_PROTOCOLS: Final = frozenset(protocol for _, protocol in _CLASSES)


def require(protocol: str) -> None:
    """See that what exports by `protocol` is installed, without importing it.

    Raises:
        ImportError: naming the installation that brings it.
    """
    needed = ["opentelemetry.sdk", _CLASSES["traces", protocol][0].rpartition(".")[0]]
    for module in needed:
        try:
            found = find_spec(module)
        except (ImportError, ValueError):
            found = None
        if found is None:
            raise missing(module)


def missing(module: str) -> ImportError:
    """Return the error that says what to install."""
    return ImportError(f"tracing needs {module}, which is not installed: pip install 'belvedere[otel]'", name=module)


def endpoint_of(settings: TracingSettings, signal: Signal) -> str | None:
    """Return where a signal is sent, after the settings and OpenTelemetry's own variables.

    A variable for one signal is taken as it is; to what is one for all, `/v1/…` is added for HTTP.
    https://opentelemetry.io/docs/specs/otel/protocol/exporter/#endpoint-urls-for-otlphttp
    """
    own, traces = _variable(signal, "ENDPOINT"), _variable("traces", "ENDPOINT")
    base = settings.endpoint
    if not base:
        return own if signal != "traces" else None
    if signal == "traces" and base == own:
        return base
    if signal != "traces" and own:
        return own
    if signal != "traces" and base == traces:
        # It was meant for traces alone, unless it is the only one there is.
        base = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or base
    if protocol_of(settings, signal) == "grpc":
        return base
    base = base.rstrip("/").removesuffix("/v1/traces")
    return f"{base}/v1/{signal}"


def protocol_of(settings: TracingSettings, signal: Signal) -> str:
    """Return the transport of a signal, by its own variable or as spans have it, unless that is for them alone."""
    if signal == "traces":
        return settings.protocol
    own = _variable(signal, "PROTOCOL")
    if own is None and settings.protocol == _variable("traces", "PROTOCOL"):
        own = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") or (_variable(signal, "ENDPOINT") and _DEFAULT)
    return own if own in _PROTOCOLS else settings.protocol


def _headers_of(settings: TracingSettings, signal: Signal) -> dict[str, str]:
    """Return what goes with each export; none where the exporter is to look into its own variables."""
    if signal != "traces":
        of_traces = _variable("traces", "HEADERS")
        if _variable(signal, "HEADERS") or (of_traces and pairs(of_traces) == settings.headers):
            return {}
    # Metadata of gRPC are lower case, and headers of HTTP may be.
    return {key.lower(): value for key, value in settings.headers.items()}


def _variable(signal: Signal, name: str) -> str | None:
    return os.environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_{name}") or None


def connect(settings: TracingSettings, signal: Signal) -> Callable[[], tuple[Send, Callable[[], None]]]:
    """Return what makes the exporter of a signal, in the thread that uses it and the process that has it.

    It is imported now: a thread that imports while its process forks leaves the child a lock that nobody gives back.
    What an exporter imports when it is made, a fork waits for.
    """
    import netrc  # noqa: F401 - which `requests` imports with the first export

    from opentelemetry import context

    module, name = _CLASSES[signal, protocol_of(settings, signal)]
    kind = getattr(import_module(module), name)
    options: dict[str, Any] = {"endpoint": endpoint_of(settings, signal)}
    if headers := _headers_of(settings, signal):
        options["headers"] = headers

    def made() -> tuple[Send, Callable[[], None]]:
        hush_exporters()
        exporter = kind(**options)

        def send(items: Sequence[Any]) -> bool:
            whole: Any = items[0] if signal == "metrics" else items
            # An instrumentation of `requests` or gRPC would make a span of each export, which would be exported.
            token = context.attach(context.set_value(context._SUPPRESS_INSTRUMENTATION_KEY, True))
            try:
                return bool(exporter.export(whole).name == "SUCCESS")
            finally:
                context.detach(token)

        return send, exporter.shutdown

    return made
