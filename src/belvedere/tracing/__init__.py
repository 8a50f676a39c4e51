"""Traces: a server span for each request, W3C context in and out, export by OTLP.

Nothing of OpenTelemetry's SDK is imported until an endpoint or a provider is set.
"""

from belvedere.tracing.tracing import Tracing

__all__ = ["Tracing"]
