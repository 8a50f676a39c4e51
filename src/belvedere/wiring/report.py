"""What is on, what is off, and why: told at start, by `Observability.report()` and by `belvedere report`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from belvedere.asgi import Attachment
from belvedere.settings import Settings

if TYPE_CHECKING:
    from belvedere.health import Drain, Health
    from belvedere.logs import Logs
    from belvedere.metrics import Metrics
    from belvedere.metrics.port import Port
    from belvedere.parts import Part
    from belvedere.tracing import Otlp, Tracing


class Row(TypedDict):
    """A feature's state and the reason for it."""

    state: Literal["on", "off"]
    why: str


Report = dict[str, Row]
"""Feature to row, in the order in which people read it."""

_SWITCHED_OFF: Row = {"state": "off", "why": "switched off by the settings"}


def describe(
    settings: Settings,
    app: Any,
    *,
    logs: Logs | None,
    metrics: Metrics | None,
    health: Health | None,
    drain: Drain | None,
    attachment: Attachment,
    tracing: Tracing,
    otlp: Otlp,
    yielded: Sequence[str],
    parts: Sequence[Part],
) -> Report:
    """Return the state of every feature of an application."""
    report: Report = {
        "requests": _on(_requests(settings, attachment)),
        "logs": _logs(settings, logs, otlp) if logs else _SWITCHED_OFF,
        "metrics": _metrics(settings, metrics, otlp, yielded) if metrics else _SWITCHED_OFF,
        "health": _health(settings, drain, yielded) if health else _SWITCHED_OFF,
        "problems": _on(f"errors as {settings.problems.format}") if settings.problems else _SWITCHED_OFF,
        "headers": _on(_headers(settings)) if settings.headers else _SWITCHED_OFF,
        "tracing": _tracing(app, attachment, tracing),
    }
    return _with_parts(report, parts)


def describe_worker(
    settings: Settings,
    *,
    logs: Logs | None,
    metrics: Metrics | None,
    health: Health | None,
    tracing: Tracing,
    otlp: Otlp,
    parts: Sequence[Part],
) -> Report:
    """Return the rows of a worker, whose tasks are what requests are elsewhere."""
    served = metrics is not None and metrics.port is not None
    nowhere: Row = {"state": "off", "why": "a worker serves them on a port of its own: metrics.port is not set"}
    state, why = tracing.describe()
    report: Report = {
        "tasks": _on(f"{settings.requests.header}, kept from whoever sends a task, or made here"),
        "logs": _logs(settings, logs, otlp) if logs else _SWITCHED_OFF,
        "metrics": nowhere if metrics and not served else _SWITCHED_OFF,
        "health": nowhere if health and not served else _SWITCHED_OFF,
        "headers": {"state": "off", "why": "a worker answers no requests"},
        "tracing": {"state": state, "why": why},
    }
    if metrics and served:
        report["metrics"] = _metrics(settings, metrics, otlp, ())
        if health:
            report["health"] = _health(settings, None, ())
    return _with_parts(report, parts)


def _with_parts(report: Report, parts: Sequence[Part]) -> Report:
    for part in parts:
        feature, row = _part(part)
        same = sum(1 for other in report if other.partition("#")[0] == feature)
        report[f"{feature}#{same + 1}" if same else feature] = row
    return report


def _part(part: Part) -> tuple[str, Row]:
    """Return what a part says of itself, by `feature`, `why` and `state`, or else what it is."""
    feature, why = getattr(part, "feature", None), getattr(part, "why", None)
    if isinstance(feature, str) and isinstance(why, str):
        return feature, {"state": "off" if getattr(part, "state", "on") == "off" else "on", "why": why}
    kind = type(part).__name__.lower()
    name = getattr(part, "name", None)
    return f"{kind}:{name}" if name else kind, _on("given to observe")


def _on(why: str) -> Row:
    return {"state": "on", "why": why}


def _requests(settings: Settings, attachment: Attachment) -> str:
    why = f"{settings.requests.header}, {'kept from callers' if settings.requests.trust else 'always made here'}"
    if not attachment.topmost:
        why += "; something wrapped the application after Belvedere and is not seen: call observe last"
    return why


def _logs(settings: Settings, logs: Logs, otlp: Otlp) -> Row:
    why = f"{logs.format} ({logs.format_reason})"
    if settings.logs is not None and settings.logs.path:
        why += f", and in {settings.logs.path}"
    if settings.logs is not None and settings.logs.otlp:
        why += otlp.describe("logs")
    if (file := logs.level_file) is not None:
        when = "every second" if file.watched else "once: later changes are seen while the application's lifespan runs"
        why += f", levels from {file.path}, looked at {when}"
        if file.problem is not None:
            why += f"; not used now: {file.problem}"
    if logs.shared:
        why += "; another application of this process set the log up first"
    return _on(why)


def _metrics(settings: Settings, metrics: Metrics, otlp: Otlp, yielded: Sequence[str]) -> Row:
    path = settings.metrics.path if settings.metrics else ""
    why = f"at {path}"
    if metrics.port is not None:
        why += _port(metrics.port)
    elif path in yielded:
        why = f"not served at {path}: the application has a route of its own there"
    if metrics.sharing:
        why += f"; {metrics.sharing}"
    if settings.metrics is not None and settings.metrics.otlp:
        why += otlp.describe("metrics")
    if hidden := metrics.hidden():
        why += f"; hidden by Belvedere's of the same name: {', '.join(hidden)}"
    return _on(why)


def _port(port: Port) -> str:
    number = f"port {port.number}" if port.number else "any port that is free"
    if port.state == "failed":
        return f" on {number}, which cannot be listened on ({port.reason}): not served"
    return {
        "closed": f" on {number}, open from the start of the application, or without lifespan from its first request",
        "elsewhere": f" on {number}, where another process of the service listens",
    }.get(port.state, f" on {number}")


def _health(settings: Settings, drain: Drain | None, yielded: Sequence[str]) -> Row:
    health = settings.health
    if health is None:
        return _SWITCHED_OFF
    probes = {
        "live": health.live,
        "ready": health.ready,
        "startup": health.startup,
        "detailed": health.detailed,
        "basic": health.basic,
    }
    served = [f"{probe} {path}" for probe, path in probes.items() if path and path not in yielded]
    why = ", ".join(served) or "no probe has a path"
    if lost := [path for path in probes.values() if path in yielded]:
        why += f"; the application has routes of its own at {', '.join(map(str, lost))}"
    if drain is not None and drain.why:
        why += f"; {drain.why}"
    return _on(why)


def _headers(settings: Settings) -> str:
    chosen = [name for name, value in settings.headers or () if value is not None]
    return ", ".join(chosen) or "every header is None"


def _tracing(app: Any, attachment: Attachment, tracing: Tracing) -> Row:
    state, why = tracing.describe()
    if state == "on":
        return _on(why)
    if attachment.spans_by is not None:
        return {"state": "off", "why": f"server spans are made by {attachment.spans_by}; logs carry their ids"}
    if attachment.built and getattr(app, "_is_instrumented_by_opentelemetry", False):
        why = "opentelemetry-instrumentation-fastapi came after Belvedere and left itself out: call observe last"
    return {"state": "off", "why": why}
