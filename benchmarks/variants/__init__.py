"""The rows of the table: each a name, what it stands for, and a function that builds the application.

A row's module is imported only in the process that measures it, so that no row pays for another's globals.
"""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Message: TypeAlias = MutableMapping[str, Any]
ASGIApp: TypeAlias = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]


@dataclass(frozen=True, slots=True)
class Variant:
    """One row: `build` is what `application` takes."""

    name: str
    title: str
    build: str
    group: str
    logs: bool = False
    """Whether each request writes a line; a run that finds none, or finds one unasked, is refused."""


BARE = Variant("bare", "bare FastAPI", "bare:build", "reference")
CONTROL = Variant("control", "bare FastAPI, measured again (the noise)", "bare:build", "reference")
BELVEDERE = Variant("belvedere", "Belvedere, default", "ours:build", "Belvedere", logs=True)
INSTALLED = Variant(
    "installed",
    "Belvedere, default + interactions, none recorded",
    "interactions:build:unmarked",
    "Belvedere",
    logs=True,
)
RECORDED = Variant(
    "interactions", "Belvedere, default + an interaction recorded", "interactions:build", "Belvedere", logs=True
)
DELIVERED = Variant(
    "delivered",
    "... and written to SQLite, by the same process",
    "interactions:build:delivered",
    "Belvedere",
    logs=True,
)
LIMITED = Variant("limits", "Belvedere, default + a rate limit in memory", "ours:limited", "Belvedere", logs=True)
TRACED = Variant("traced", "Belvedere, traced 100 %", "ours:traced:1.0", "Belvedere", logs=True)
TRACED_10 = Variant("traced-10", "Belvedere, traced 10 %", "ours:traced:0.1", "Belvedere", logs=True)
NATIVE_SPAN = Variant("native-span", "FastAPI telemetry: server span alone", "native:build:span", "telemetry")
CONTRIB = Variant("otel", "OpenTelemetry FastAPI, as by default", "contrib:build:default", "telemetry")
COMPOSITION = Variant("composition", "the best composition of peers", "composition:build", "peers", logs=True)
BY_HAND = Variant("pure-asgi", "four pure ASGI middlewares by hand", "byhand:pure_asgi", "by hand", logs=True)

VARIANTS: tuple[Variant, ...] = (
    BARE,
    CONTROL,
    BELVEDERE,
    INSTALLED,
    RECORDED,
    DELIVERED,
    LIMITED,
    TRACED_10,
    TRACED,
    COMPOSITION,
    Variant("correlation-id", "asgi-correlation-id", "single:correlation_id", "one job"),
    Variant("secweb", "Secweb (security headers)", "single:secweb", "one job"),
    Variant("secure", "secure (security headers)", "single:secure", "one job"),
    Variant("access-line", "structlog access line, pure ASGI", "single:access_line", "one job", logs=True),
    Variant("instrumentator", "prometheus-fastapi-instrumentator", "single:instrumentator", "one job"),
    Variant("exporter", "starlette-exporter", "single:exporter", "one job"),
    Variant("starlette-prometheus", "starlette-prometheus", "single:starlette_prometheus", "one job"),
    NATIVE_SPAN,
    Variant("native-metrics", "FastAPI telemetry: metrics alone", "native:build:metrics", "telemetry"),
    Variant("native-defaults", "FastAPI telemetry: traces as by default", "native:build:traces", "telemetry"),
    Variant("native-all", "FastAPI telemetry: traces, metrics, logs", "native:build:all", "telemetry"),
    Variant("otel-lean", "OpenTelemetry FastAPI, no send/receive spans", "contrib:build:lean", "telemetry"),
    CONTRIB,
    Variant("logfire", "logfire (not sent)", "suites:with_logfire", "suites"),
    Variant(
        "lite-bootstrap", "lite-bootstrap (access line, metrics)", "suites:with_lite_bootstrap", "suites", logs=True
    ),
    BY_HAND,
    Variant("base-http", "four BaseHTTPMiddleware by hand", "byhand:base_http", "by hand", logs=True),
)


def application(build: str) -> ASGIApp:
    """Import a row's module and build its application, in this process.

    Args:
        build: `module:function` below `benchmarks.variants`, with an optional `:argument`.
    """
    module, function, *arguments = build.split(":")
    built: ASGIApp = getattr(importlib.import_module(f"{__name__}.{module}"), function)(*arguments)
    return built
