"""FastAPI's own telemetry (0.142 and later): never a second copy of what Belvedere makes.

FastAPI makes spans, metrics and log records as soon as global OpenTelemetry providers exist. Belvedere makes metrics
and log lines itself, so those of FastAPI are switched off, unless a provider was given to `FastAPI(telemetry=…)` for
them by name. The span is adopted: its trace and span id become the request's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def switch_off(app: Any, *, metrics: bool = False, logs: bool = False, spans: bool = False) -> Callable[[], None]:
    """Have `app` make none of these signals itself; return what undoes it."""
    # FastAPI reads this mapping, a public TypedDict, at each request; no public option works after construction.
    config: dict[str, Any] | None = getattr(app, "_telemetry", None)
    if not isinstance(config, dict):
        return lambda: None
    before = {
        signal: config[signal]
        for signal, ours, provider in (
            ("metrics", metrics, "meter_provider"),
            ("logs", logs, "logger_provider"),
            ("tracing", spans, "tracer_provider"),
        )
        if ours and signal in config and config.get(provider) is None
    }
    config.update(dict.fromkeys(before, False))
    return lambda: config.update(before)


def leave_out(app: Any, excluded: Callable[[dict[str, Any]], bool]) -> Callable[[], None]:
    """Have `app` make nothing at all of the requests that are `excluded`, besides those it leaves out by itself."""
    config: dict[str, Any] | None = getattr(app, "_telemetry", None)
    if not isinstance(config, dict) or "exclude" not in config:
        return lambda: None
    own = config["exclude"]

    def exclude(scope: dict[str, Any]) -> bool:
        return excluded(scope) or (own is not None and bool(own(scope)))

    def undo() -> None:
        if config["exclude"] is exclude:
            config["exclude"] = own

    config["exclude"] = exclude
    return undo


def given_provider(app: Any) -> Any:
    """Return the tracer provider that `FastAPI(telemetry=…)` was given by name, `None` if it was given none."""
    config = getattr(app, "_telemetry", None)
    return config.get("tracer_provider") if isinstance(config, dict) and config.get("tracing", True) else None


def native_span(scope: dict[str, Any]) -> Any:
    """Return the server span that FastAPI made, if it made one."""
    return getattr(scope.get("fastapi.telemetry"), "span", None)


def span_ids(span: Any) -> tuple[str, str, bool] | None:
    """Return trace id, span id and sampled flag of a span, `None` of one that says nothing."""
    context = span.get_span_context()
    if not context.is_valid:
        return None
    return f"{context.trace_id:032x}", f"{context.span_id:016x}", bool(context.trace_flags & 1)
