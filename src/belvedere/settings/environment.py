"""Where settings come from besides code: `BELVEDERE_*`, then the variables that the ecosystem knows."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any
from urllib.parse import unquote

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

PREFIX = "BELVEDERE_"
DELIMITER = "__"

_LEVELS = {
    "trace": "debug",
    "warn": "warning",
    "fatal": "critical",
    "notice": "info",
    "notset": "debug",
    "0": "debug",
    "10": "debug",
    "20": "info",
    "30": "warning",
    "40": "error",
    "50": "critical",
}
"""Names and numbers of levels that other loggers use."""


class _Variables(PydanticBaseSettingsSource):
    """A source that looks at all variables together, and not at one field after the other.

    Args:
        environ: the variables, by name.
    """

    def __init__(self, settings_cls: type[BaseSettings], environ: Mapping[str, str]) -> None:
        super().__init__(settings_cls)
        self._environ = environ

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False


class OwnVariables(_Variables):
    """`BELVEDERE_METRICS__PATH=/m` says `metrics.path`; JSON objects, lists and `null` are read as such.

    pydantic-settings has a source for this, which stops at the first unreadable value, where we name all of them.
    """

    def __call__(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        # Shorter names first, so that BELVEDERE_LOGS__LEVEL refines what BELVEDERE_LOGS={…} began.
        for variable in sorted(self._environ, key=lambda name: name.count(DELIMITER)):
            if not variable.startswith(PREFIX):
                continue
            *parents, leaf = variable.removeprefix(PREFIX).lower().split(DELIMITER)
            # A service of this name in Kubernetes puts BELVEDERE_PORT and the like into every container: not ours.
            if (parents or [leaf])[0] not in self.settings_cls.model_fields:
                continue
            place = values
            for parent in parents:
                if not isinstance(place.get(parent), dict):
                    place[parent] = {}
                place = place[parent]
            place[leaf] = read(self._environ[variable])
        return values


def read(text: str) -> Any:
    """Return what a variable says: JSON where it looks like it, and the text itself where it does not parse."""
    if text == "null" or text[:1] in {"{", "["}:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return text


class KnownVariables(_Variables):
    """The variables of OpenTelemetry, uvicorn and twelve-factor services that have a setting here.

    OpenTelemetry's names and their order of precedence: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
    """

    def __call__(self) -> dict[str, Any]:
        variable = self._first
        resource = pairs(self._environ.get("OTEL_RESOURCE_ATTRIBUTES", ""))
        values: dict[str, Any] = {
            "service": variable("OTEL_SERVICE_NAME") or resource.get("service.name"),
            "version": variable("APP_VERSION") or resource.get("service.version"),
            "environment": variable("ENVIRONMENT")
            or resource.get("deployment.environment.name")
            or resource.get("deployment.environment"),
            "logs": _known({"level": _LEVELS.get((variable("LOG_LEVEL") or "").lower(), variable("LOG_LEVEL"))}),
            "requests": _known({"trusted_proxies": _networks(self._environ.get("FORWARDED_ALLOW_IPS", ""))}),
            "tracing": self._tracing(),
        }
        return _known(values)

    def _tracing(self) -> dict[str, Any]:
        if self._environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
            return {}
        traces = self._first("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
        return _known(
            {
                "endpoint": traces or self._first("OTEL_EXPORTER_OTLP_ENDPOINT"),
                "protocol": self._protocol(),
                "headers": pairs(self._first("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS") or ""),
                "sample": self._sample(),
            }
        )

    def _protocol(self) -> str | None:
        # `http/json` is a protocol as well, which few exporters speak: the default takes its place.
        named = self._first("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
        return None if named == "http/json" else named

    def _sample(self) -> str | None:
        # In lower or upper case, as the SDK takes it.
        sampler = self._environ.get("OTEL_TRACES_SAMPLER", "").strip().lower().removeprefix("parentbased_")
        if sampler == "traceidratio":
            return self._environ.get("OTEL_TRACES_SAMPLER_ARG") or "1.0"
        return {"always_on": "1.0", "always_off": "0.0"}.get(sampler)

    def _first(self, *variables: str) -> str | None:
        return next((self._environ[name] for name in variables if self._environ.get(name)), None)


def _networks(forwarded_allow_ips: str) -> list[str]:
    """Return the networks in uvicorn's variable, which may hold `*`, names and socket paths as well."""
    networks = []
    for part in forwarded_allow_ips.split(","):
        if part.strip() == "*":
            return ["0.0.0.0/0", "::/0"]
        try:
            networks.append(str(ip_network(part.strip())))
        except ValueError:
            continue
    return networks


def pairs(text: str) -> dict[str, str]:
    """Return headers or attributes as OpenTelemetry writes them: `key=value,key=value`, percent-encoded as W3C
    Baggage is."""
    named = (pair.partition("=") for pair in text.split(",") if "=" in pair)
    return {unquote(key.strip()): unquote(value.strip()) for key, _, value in named}


def _known(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value not in (None, "", {}, [])}


def process_environment() -> Mapping[str, str]:
    """Return the variables of this process, as they are now."""
    return os.environ
