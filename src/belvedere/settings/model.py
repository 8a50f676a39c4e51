"""The settings themselves: one frozen class per feature, a docstring under each field."""

from __future__ import annotations

import math
import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from belvedere import conventions

Network = IPv4Network | IPv6Network

_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_SPOKEN_FOR = frozenset(
    {
        "authorization", "cache-control", "connection", "content-encoding", "content-length", "content-type", "cookie",
        "date", "host", "location", "server", "set-cookie", "traceparent", "tracestate", "transfer-encoding", "upgrade",
    }
)  # fmt: skip


def _split(value: Any) -> Any:
    """Let a list be one text with commas, as it is in an environment variable."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _pairs(value: Any) -> Any:
    """Let a mapping be `key=value,key=value`, as OpenTelemetry writes headers."""
    if isinstance(value, str):
        return dict(part.strip().split("=", 1) for part in value.split(",") if "=" in part)
    return value


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _path(value: str) -> str:
    if not value.startswith("/") or "{" in value or "?" in value:
        raise ValueError("a path begins with / and has neither parameters nor a query")
    return value


def _header_name(value: str) -> str:
    if not _HEADER_NAME.fullmatch(value):
        raise ValueError("no name of a header (RFC 9110, section 5.1)")
    if value.lower() in _SPOKEN_FOR:
        raise ValueError("this header has a meaning of its own, and answers would break: choose one for the id alone")
    return value


def _header_value(value: str) -> str:
    if not value.isascii() or any(character < " " or character == "\x7f" for character in value):
        raise ValueError("a header's value is printable ASCII on one line")
    return value


def _network(value: Any) -> Any:
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    try:
        return ip_network(value)
    except ValueError:
        raise ValueError("no network: write it as 10.0.0.0/8 or 2001:db8::/32, or one address") from None


Level = Annotated[Literal["debug", "info", "warning", "error", "critical"], BeforeValidator(_lower)]
Names = Annotated[tuple[str, ...], BeforeValidator(_split)]
Path = Annotated[str, BeforeValidator(_path)]
HeaderName = Annotated[str, BeforeValidator(_header_name)]
HeaderValue = Annotated[str, BeforeValidator(_header_value)]
Networks = Annotated[tuple[Annotated[Network, PlainValidator(_network)], ...], BeforeValidator(_split)]


class Group(BaseModel):
    """Settings of one feature: frozen, and with no fields but its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, arbitrary_types_allowed=True)


class RequestSettings(Group):
    """Ids, client addresses, and what of a request is kept out or bound."""

    header: HeaderName = "X-Request-ID"
    """The header that carries the request id, in and out."""
    format: Literal["uuid", "hex"] = "uuid"
    """How an id that is made here is spelled: as a UUID, or as its 32 hex digits, which are the trace id."""
    trust: bool = True
    """Whether a caller's valid id is kept."""
    trusted_proxies: Networks = ()
    """Networks whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed; `0.0.0.0/0` and `::/0` are everybody."""
    exclude: Names | None = None
    """Paths kept out of logs, traces and HTTP metrics alike, a final `*` standing for any rest; by default probes and
    metrics."""
    bind: dict[str, Names] = Field(default_factory=dict)
    """Context taken from the request: name to sources in order, each `path:NAME`, `header:NAME` or `query:NAME`."""

    @field_validator("bind")
    @classmethod
    def _sources(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for sources in value.values():
            for source in sources:
                kind, _, name = source.partition(":")
                if kind not in {"path", "header", "query"} or not name:
                    raise ValueError(f"{source!r} is no source: write path:NAME, header:NAME or query:NAME")
                if kind == "header" and not _HEADER_NAME.fullmatch(name):
                    raise ValueError(f"{name!r} is no name of a header (RFC 9110, section 5.1)")
        return value


class LogSettings(Group):
    """What a log line holds, where it goes, and what never leaves the process."""

    level: Level = "info"
    """The least level that is written."""
    format: Literal["auto", "json", "console"] = "auto"
    """`auto` is JSON unless stdout is a terminal and the environment is neither `prod` nor `production`."""
    path: str | None = None
    """A file that gets every line as well."""
    keys: dict[str, str] = Field(default_factory=dict)
    """New names for keys, such as `{"event": "message"}`."""
    fields: dict[str, str | int | float | bool] = Field(default_factory=dict)
    """Constants that every line carries."""
    quiet: dict[str, Level] = Field(default_factory=dict)
    """The least level of single loggers and all below them."""
    levels: str | None = None
    """A file that changes `level` and `quiet` while the service runs; looked at every second."""
    redact: Names = ()
    """More keys whose values are redacted."""
    allow: Names = ()
    """Keys that are never redacted."""
    client: Literal["full", "masked"] | None = "full"
    """How lines and spans show the client's address; `None`: not at all."""
    on_full: Literal["drop", "block"] = "drop"
    """What happens to lines when nobody reads stdout: dropped and counted past a bound, or the service waits."""
    access: bool = True
    """Whether each request has an access line."""
    otlp: bool = False
    """Whether log records are exported over OTLP as well."""


class MetricSettings(Group):
    """The exposition, and the shape of the HTTP metrics."""

    path: Path = "/metrics"
    """Where metrics are served: on the service's own port, or on `port` if that is set."""
    port: int | None = Field(None, ge=0, le=65535)
    """A port of their own, one for all workers; nothing is then served at `path` on the service's. 0 is any that is
    free, which the report and the log tell. A Celery worker has no other, and serves its probes there as well."""
    token: SecretStr | None = Field(None, min_length=1)
    """A bearer token that a scrape has to show."""
    allow: Networks = ()
    """Networks that may scrape; none given: everybody."""
    buckets: Annotated[tuple[float, ...], BeforeValidator(_split)] = conventions.DURATION_BUCKETS
    """Bounds of the duration histogram in seconds."""
    max_series: int = Field(2000, ge=1)
    """The bound on label sets of one metric."""
    otlp: bool = False
    """Whether metrics are exported over OTLP as well."""
    names: dict[str, Names] = Field(default_factory=dict)
    """New names for HTTP metrics; a list gives one metric several names."""
    labels: dict[str, str] = Field(default_factory=dict)
    """New names for the labels of HTTP metrics, such as `{"status": "status_code"}`."""
    constant_labels: dict[str, str] = Field(default_factory=dict)
    """Labels that every HTTP metric carries."""
    context_labels: dict[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    """Labels of HTTP metrics that are filled from bound context, each with its bound of values; a list means 100
    each."""
    duration_status: bool = False
    """Whether the duration histogram has the label `status` as well."""

    @field_validator("context_labels", mode="before")
    @classmethod
    def _bounds(cls, value: Any) -> Any:
        value = _split(value)
        return dict.fromkeys(value, 100) if isinstance(value, (list, tuple)) else value

    @field_validator("names", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return {k: (v,) if isinstance(v, str) else v for k, v in value.items()} if isinstance(value, dict) else value

    @field_validator("buckets")
    @classmethod
    def _rising(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not value or any(low >= high for low, high in pairwise(value)):
            raise ValueError("bounds must rise, and there must be at least one")
        if not all(map(math.isfinite, value)):
            raise ValueError("bounds are finite; every histogram has a bucket for infinity by itself")
        return value

    @field_validator("labels", "constant_labels", "context_labels")
    @classmethod
    def _label_names(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        for name in value.values() if info.field_name == "labels" else value:
            if not _LABEL_NAME.fullmatch(name) or name.startswith("__") or name in {"le", "quantile"}:
                raise ValueError(
                    f"{name!r} is no label name (letters, digits and _, no leading digit or __, not le or quantile)"
                )
        return value

    @field_validator("names")
    @classmethod
    def _metric_names(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        known = {metric.name: (metric.name,) for metric in conventions.HTTP_METRICS}
        for metric, names in value.items():
            if metric not in known:
                raise ValueError(f"{metric!r} is no HTTP metric; these can be renamed: {', '.join(sorted(known))}")
            for name in names:
                if not _METRIC_NAME.fullmatch(name):
                    raise ValueError(f"{name!r} is no metric name (letters, digits, _ and :, no leading digit)")
        called = [metric.name for metric in (*conventions.WEBSOCKET_METRICS, *conventions.OWN_METRICS)]
        for metric, names in {**known, **value}.items():
            called += [f"{name.removesuffix('_total')}_total" if metric.endswith("_total") else name for name in names]
        if twice := sorted({name for name in called if called.count(name) > 1}):
            raise ValueError(f"metrics named twice: {', '.join(twice)}")
        return value

    @model_validator(mode="after")
    def _distinct_labels(self) -> MetricSettings:
        own = {label for metric in conventions.HTTP_METRICS for label in metric.labels}
        if unknown := sorted(set(self.labels) - own):
            raise ValueError(f"labels: {', '.join(unknown)}: HTTP metrics have the labels {', '.join(sorted(own))}")
        names = [self.labels.get(label, label) for label in sorted(own)]
        names += [*self.constant_labels, *self.context_labels]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"labels named twice: {', '.join(twice)}")
        return self


class HealthSettings(Group):
    """Probes, checks and draining. A probe whose path is `None` is not served."""

    live: Path | None = "/healthz"
    """Liveness: the process alone, no dependency."""
    ready: Path | None = "/readyz"
    """Readiness: the checks of the `ready` probe; 503 when a critical one fails."""
    startup: Path | None = None
    """Start-up: 503 until the application has started."""
    detailed: Path | None = None
    """All checks of the `detailed` probe."""
    basic: Path | None = None
    """A plain sign of life for people."""
    payload: Literal["compact", "full"] = "compact"
    """`compact` is a word per check, `full` an object with latency and details."""
    live_fields: Annotated[tuple[Literal["service", "version", "timestamp"], ...], BeforeValidator(_split)] = ()
    """What the compact liveness and basic answers tell besides the status."""
    timeout: float = Field(2.0, gt=0)
    """Seconds a check may take unless it says otherwise."""
    cache: float = Field(1.0, ge=0)
    """Seconds a result serves further probes."""
    interval: float = Field(15.0, ge=0)
    """Seconds between runs of all checks without a probe, for their metrics; 0 is never."""
    drain: float | None = Field(None, ge=0)
    """Seconds of serving on after SIGTERM while readiness says 503; 5, and 0 in the environment `local`."""

    @model_validator(mode="after")
    def _own_paths(self) -> HealthSettings:
        probes = ("live", "ready", "startup", "detailed", "basic")
        paths = [path for probe in probes if (path := getattr(self, probe)) is not None]
        if twice := sorted({path for path in paths if paths.count(path) > 1}):
            raise ValueError(f"several probes have the path {', '.join(twice)}: give each its own, or None")
        return self


class ProblemSettings(Group):
    """The one shape of errors."""

    format: Literal["envelope", "problem"] = "envelope"
    """The envelope of Belvedere, or RFC 9457; whoever accepts `application/problem+json` gets that in either."""


class HeaderSettings(Group):
    """Security headers on every response; `None` leaves one out, and an application's own header wins.

    Defaults after the OWASP HTTP Headers Cheat Sheet.
    """

    hsts: HeaderValue | None = "max-age=31536000; includeSubDomains"
    """`Strict-Transport-Security`, over HTTPS alone (RFC 6797, section 7.2)."""
    content_type_options: HeaderValue | None = "nosniff"
    """`X-Content-Type-Options`."""
    frame_options: HeaderValue | None = "DENY"
    """`X-Frame-Options`."""
    referrer_policy: HeaderValue | None = "strict-origin-when-cross-origin"
    """`Referrer-Policy`."""
    cross_origin_opener_policy: HeaderValue | None = "same-origin"
    """`Cross-Origin-Opener-Policy`."""
    content_security_policy: HeaderValue | None = None
    """`Content-Security-Policy`."""
    permissions_policy: HeaderValue | None = None
    """`Permissions-Policy`."""


class TracingSettings(Group):
    """Where spans go, and how many of them."""

    endpoint: str | None = Field(None, repr=False)  # it may hold a password
    """The OTLP endpoint, which turns tracing on; `/v1/traces` is appended for HTTP."""
    protocol: Literal["http/protobuf", "grpc"] = "http/protobuf"
    """The transport of OTLP."""
    headers: Annotated[dict[str, str], BeforeValidator(_pairs)] = Field(default_factory=dict, repr=False)
    """Headers sent with each export."""
    provider: Any = None
    """A `TracerProvider` of your own, which turns tracing on."""
    sample: float = Field(1.0, ge=0, le=1)
    """The share of traces that begin here and are kept; an inbound decision comes first."""
    exclude: Names = ()
    """Further paths without spans, a final `*` standing for any rest."""
    operations: bool = False
    """Whether FastAPI's dependency, endpoint and serialisation spans are made as well."""
