"""Traces: a server span for each request, W3C context in and out, export by OTLP; logs and metrics over OTLP as well.

Nothing of OpenTelemetry's SDK is imported until an endpoint or a provider is set.
"""

from belvedere.tracing.otlp import Otlp
from belvedere.tracing.tracing import Tracing

__all__ = ["Otlp", "Tracing"]
