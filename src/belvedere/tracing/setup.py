"""Puts tracing together, once something is to be traced: everything here needs OpenTelemetry's SDK."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.sdk.trace import Tracer

from belvedere.asgi import Plan
from belvedere.asgi.plan import exact_and_beginnings
from belvedere.redaction import Redactor
from belvedere.settings import Settings, TracingSettings
from belvedere.tracing import provider as providers
from belvedere.tracing import sampling
from belvedere.tracing.describe import Describer
from belvedere.tracing.exchange import TracedHttpExchange, TracedWebSocketExchange
from belvedere.tracing.exporters import connect
from belvedere.tracing.observer import Spans
from belvedere.tracing.operations import Operations
from belvedere.tracing.plain import PlainSpans
from belvedere.tracing.processor import SpanQueue
from belvedere.tracing.queue import Queue


@dataclass
class Made:
    """What `set_up` has made, and what takes it off again."""

    spans: Spans
    provider: Any
    queue: Queue | None = None
    why: str = ""
    share: float = 1.0
    """Of the traces that begin here, what is kept by our ratio."""
    undo: list[Callable[[], None]] = field(default_factory=list)


def set_up(settings: Settings, plan: Plan, redactor: Redactor, tracer: Callable[[Any], Any]) -> Made:
    """Find or make the provider, and have the pass of `plan` make spans with it.

    Args:
        tracer: returns the tracer that a provider has for us.
    """
    tracing = settings.tracing or TracingSettings()
    undo: list[Callable[[], None]] = []
    queue: Queue | None = None
    why = ""
    provider = tracing.provider
    if provider is None and (provider := providers.configured()) is not None:
        why = f"through the {type(provider).__name__} that the application has set up; tracing.endpoint is not used"
    share = tracing.sample if provider is None or sampling.keeps_all(provider) else 1.0
    if provider is None:
        queue = Queue("traces", connect(tracing, "traces"), **queue_options("BSP"), hide=redactor.text)
        provider = providers.own_provider(settings, sampling.below_parents(share), SpanQueue(queue))
        undo.append(queue.close)
    else:
        undo.append(sampling.adapt(provider, share))
    providers.share(provider)
    undo.append(lambda: providers.unshare(provider))
    client = settings.logs.client if settings.logs else "full"
    own = tracer(provider)
    kind = Spans if isinstance(own, Tracer) else PlainSpans
    excluded, prefixes = exact_and_beginnings(tracing.exclude)
    spans = kind(
        plan,
        own,
        Describer(redactor, client, settings.requests.trusted_proxies),
        redactor.text,
        excluded=excluded,
        prefixes=prefixes,
        operations=Operations.find(own) if tracing.operations else None,
    )
    plan.exchanges = TracedHttpExchange, TracedWebSocketExchange
    undo.append(lambda: _plain(plan))
    return Made(spans, provider, queue, why, share, undo)


def queue_options(kind: str) -> dict[str, Any]:
    """Return sizes and times of a queue, by OpenTelemetry's variables for batch processors.

    Defaults: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/#batch-span-processor
    """
    limit = int(providers.number(f"OTEL_{kind}_MAX_QUEUE_SIZE", 2048))
    return {
        "limit": limit,
        "batch": min(limit, int(providers.number(f"OTEL_{kind}_MAX_EXPORT_BATCH_SIZE", 512))),
        "delay": providers.number(f"OTEL_{kind}_SCHEDULE_DELAY", 5000 if kind == "BSP" else 1000) / 1000,
    }


def _plain(plan: Plan) -> None:
    plan.exchanges = None
