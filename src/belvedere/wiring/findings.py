"""What of an observed application needs somebody's attention: it works, but not as its settings say."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from belvedere.wiring.observability import Observability

if TYPE_CHECKING:
    from belvedere.metrics.port import Port

_CALL_LAST = "call belvedere.observe last, on the application itself"


class Finding(TypedDict):
    """One thing to look at: which feature it concerns, what was found, and what to do about it."""

    feature: str
    finding: str
    remedy: str


def findings(observability: Observability) -> list[Finding]:
    """Return what needs attention, now that the application's middleware has been built; nothing, if all is well."""
    found: list[Finding] = []
    if not observability._attachment.topmost:
        found.append(wrapped(type(observability._app.middleware_stack).__name__))
    metrics = observability._metrics
    if metrics is not None and metrics.port is not None and metrics.port.state == "failed":
        found.append(_port(metrics.port))
    found += [_yielded(observability, path) for path in observability._yielded]
    if metrics is not None:
        found += [_hidden(name) for name in metrics.hidden()]
    if (refused := observability._otlp.refused) is not None:
        found.append(_temporality(refused))
    return found


def wrapped(by: str) -> Finding:
    """Return the finding that something called `by` stands between the server and Belvedere."""
    return {
        "feature": "requests",
        "finding": f"{by} wraps the application outside Belvedere: what it answers by itself has no id, line or metric",
        "remedy": f"add it by app.add_middleware, or {_CALL_LAST}",
    }


def _port(port: Port) -> Finding:
    return {
        "feature": "metrics",
        "finding": f"port {port.number} cannot be listened on ({port.reason}): metrics are not served",
        "remedy": port.remedy,
    }


def _yielded(observability: Observability, path: str) -> Finding:
    health = observability.settings.health
    probe = next((name for name, own in health or () if own == path), None)
    what, setting = ("metrics are", "metrics.path") if probe is None else (f"the {probe} probe is", f"health.{probe}")
    return {
        "feature": setting.partition(".")[0],
        "finding": f"the application has a route of its own at {path}: {what} not served",
        "remedy": f"remove that route, or choose another path by the setting {setting}",
    }


def _hidden(name: str) -> Finding:
    return {
        "feature": "metrics",
        "finding": f"the application's own metric {name} is not served: Belvedere's has that name",
        "remedy": "rename it; Belvedere's HTTP metrics can be renamed by the setting metrics.names",
    }


def _temporality(refused: str) -> Finding:
    return {
        "feature": "metrics",
        "finding": refused,
        "remedy": "have the collector make the differences (its cumulativetodelta processor), and unset the variable",
    }
