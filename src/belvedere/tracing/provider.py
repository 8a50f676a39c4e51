"""The provider of a service's own spans, and which provider is the process'."""

from __future__ import annotations

import os
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from belvedere.settings import Settings

_ours: list[Any] = []
"""Providers that observed applications would like to be the process', in order."""


def resource_of(settings: Settings) -> Resource:
    """Return what a service is, with `OTEL_RESOURCE_ATTRIBUTES` and what the SDK's detectors find."""
    said = {
        "service.name": settings.service,
        "service.version": settings.version,
        "deployment.environment.name": settings.environment,
    }
    return Resource.create({key: value for key, value in said.items() if value})


def configured() -> Any:
    """Return the provider that somebody has made the process', `None` if nobody has."""
    provider = trace.get_tracer_provider()
    return None if isinstance(provider, trace.ProxyTracerProvider) or provider in _ours else provider


def share(provider: Any) -> None:
    """Make a provider the process', so that tracers of libraries and of the application use it, if there is none."""
    now = trace.get_tracer_provider()
    if isinstance(now, trace.ProxyTracerProvider):
        trace.set_tracer_provider(provider)
    elif now not in _ours:
        return  # the application's own, which stays
    _ours.append(provider)


def unshare(provider: Any) -> None:
    """Take it back: another application's takes its place, or none, as it was before."""
    if provider not in _ours:
        return
    _ours.remove(provider)
    once = getattr(trace, "_TRACER_PROVIDER_SET_ONCE", None)
    # There is no public way back (opentelemetry-test-utils does the same).
    if once is not None and provider not in _ours and trace.get_tracer_provider() is provider:
        trace._TRACER_PROVIDER_SET_ONCE = type(once)()
        trace._TRACER_PROVIDER = None
        if _ours:
            trace.set_tracer_provider(_ours[0])


def number(variable: str, default: float) -> float:
    """Return the positive number in one of OpenTelemetry's variables."""
    try:
        found = float(os.environ.get(variable) or default)
    except ValueError:
        return default
    return found if found > 0 else default


def own_provider(settings: Settings, sampler: Any, processor: Any) -> TracerProvider:
    """Return a provider that hands sampled spans to `processor`."""
    provider = TracerProvider(sampler=sampler, resource=resource_of(settings), shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return provider
