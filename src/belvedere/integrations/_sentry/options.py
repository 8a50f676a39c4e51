"""What `sentry_sdk.init` is called with: as little as errors need, on every version of the SDK."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from belvedere import failures
from belvedere.settings import Settings, SettingsError
from belvedere.settings.environment import process_environment

FEATURE: Final = "sentry"
DSN: Final = "SENTRY_DSN"
TRACES: Final = "SENTRY_TRACES_SAMPLE_RATE"
PROFILES: Final = "SENTRY_PROFILES_SAMPLE_RATE"

_CLASSES: Final = {
    "fastapi": "FastApiIntegration",
    "starlette": "StarletteIntegration",
    "celery": "CeleryIntegration",
    "sqlalchemy": "SqlalchemyIntegration",
    "redis": "RedisIntegration",
    "httpx": "HttpxIntegration",
}
LIBRARIES: Final = tuple(_CLASSES)
"""The libraries whose integrations of Sentry are on where they are installed."""

_COLLECTED: Final = {
    "user_info": False,
    "cookies": {"mode": "off"},
    "http_bodies": [],
    "gen_ai": {"inputs": False, "outputs": False},
    "mcp": {"inputs": False, "outputs": False},
    "graphql": {"document": False, "variables": False},
    "database_query_data": False,
    "queues": False,
    "stack_frame_variables": False,
}
"""What sentry-sdk 3 collects besides headers and query, which are redacted; 2 collects no more by its own defaults and
by `include_local_variables` and `max_request_body_size`."""


@dataclass(frozen=True)
class Wanted:
    """What an application asks for, checked as far as that needs no SDK."""

    dsn: str = field(repr=False)
    traces: float | None
    profiles: float | None
    integrations: tuple[Any, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    def describe(self) -> str:
        """Return what the report says."""
        rates = [f"{what} at {rate:g}" for what, rate in (("traces", self.traces), ("profiles", self.profiles)) if rate]
        return ", ".join(["errors", *rates]) + f", to {_host(self.dsn)}"

    def check(self) -> None:
        """Have the SDK look at the DSN and at the names of options.

        Raises:
            SettingsError: the DSN is none.
            TypeError: there is no such option.
        """
        from sentry_sdk.consts import DEFAULT_OPTIONS
        from sentry_sdk.utils import Dsn

        try:
            Dsn(self.dsn)
        except Exception:  # its text may show the key
            raise _wrong([_NO_DSN]) from None
        if unknown := self.options.keys() - DEFAULT_OPTIONS.keys():
            raise TypeError(f"integrations.sentry: sentry-sdk has no option {', '.join(sorted(unknown))}")

    def arguments(self, settings: Settings) -> dict[str, Any]:
        """Return what the SDK in use is initialised with."""
        from sentry_sdk.consts import DEFAULT_OPTIONS

        environment = process_environment()
        made: dict[str, Any] = {
            "dsn": self.dsn,
            "release": environment.get("SENTRY_RELEASE") or settings.version or None,
            "environment": environment.get("SENTRY_ENVIRONMENT") or settings.environment,
            "traces_sample_rate": self.traces,
            "default_integrations": False,
            "auto_enabling_integrations": False,
            "attach_stacktrace": True,
            "include_local_variables": False,
            "max_request_body_size": "never",
            "auto_session_tracking": False,
            "in_app_exclude": ["belvedere"],
            # Without it, the SDK cuts the causes off exceptions that pass through mounted applications.
            "_experiments": {"suppress_asgi_chained_exceptions": False, **self.options.get("_experiments", {})},
        }
        if self.traces is None:
            # There is no trace of Sentry's that other services could continue.
            made["trace_propagation_targets"] = []
        if "profiles_sample_rate" in DEFAULT_OPTIONS:
            made["profiles_sample_rate"] = self.profiles
        elif self.profiles is not None:
            made |= {"profile_session_sample_rate": self.profiles, "profile_lifecycle": "trace"}
        if "send_default_pii" not in DEFAULT_OPTIONS:
            made["data_collection"] = {**_COLLECTED, **self.options.get("data_collection", {})}
            made["ignore_spans"] = list(_left_out(settings))
        chosen = {key: value for key, value in self.options.items() if key not in {"_experiments", "data_collection"}}
        if "data_collection" in self.options:
            made["data_collection"] = made.get("data_collection", self.options["data_collection"])
        made = {**made, **chosen, "integrations": list(self._usable())}
        return {key: value for key, value in made.items() if key in DEFAULT_OPTIONS}

    def _usable(self) -> Iterator[Any]:
        """Yield the integrations that can be set up here: what is wrong with one keeps no service from starting."""
        from sentry_sdk.integrations import setup_integrations

        given = {getattr(each, "identifier", None) for each in self.integrations}
        for each in (*_BASE, *self.integrations):
            try:
                made = _make(each) if isinstance(each, str) else each
                if made is None or (isinstance(each, str) and made.identifier in given):
                    continue
                setup_integrations([made], with_defaults=False, with_auto_enabling_integrations=False)
            except Exception as error:
                failures.contain(FEATURE, error)
                continue
            yield made


def _left_out(settings: Settings) -> Iterator[re.Pattern[str]]:
    """Yield what is kept out of traces; sentry-sdk 3 calls a request by its URL when it begins."""
    served = [path for name, path in settings.health or () if name in _PROBES and path]
    if settings.metrics is not None and settings.metrics.port is None:
        served.append(settings.metrics.path)
    for path in served if settings.requests.exclude is None else settings.requests.exclude:
        own = f"{re.escape(path[:-1])}.*" if path.endswith("*") else re.escape(path)
        yield re.compile(f"(?:https?://[^/]*)?{own}")


_PROBES: Final = ("live", "ready", "startup", "detailed", "basic")
_NO_DSN: Final = (
    f"  sentry.dsn ({DSN}): it is no DSN; one looks like https://KEY@HOST/PROJECT, with a number at the end"
)


def wanted(
    dsn: str | None,
    traces: float | None,
    profiles: float | None,
    integrations: tuple[Any, ...],
    options: Mapping[str, Any],
) -> Wanted:
    """Return what is asked for by arguments, and by the SDK's variables where those say nothing.

    Raises:
        SettingsError: naming all rates that are wrong.
        ValueError: there is no integration of that name.
    """
    environment = process_environment()
    problems: list[str] = []
    rates = [
        _rate(given, environment.get(variable), f"  sentry.{name} ({variable})", problems)
        for name, given, variable in (("traces", traces, TRACES), ("profiles", profiles, PROFILES))
    ]
    if problems:
        raise _wrong(problems)
    for each in integrations:
        if isinstance(each, str) and each not in _CLASSES:
            raise ValueError(f"integrations.sentry: integrations are {', '.join(LIBRARIES)}, or objects; not {each!r}")
    found = environment.get(DSN, "") if dsn is None else str(dsn)
    return Wanted(found.strip(), rates[0], rates[1], integrations, dict(options))


def _rate(given: float | None, variable: str | None, place: str, problems: list[str]) -> float | None:
    """Return a share above 0, `None` for none."""
    value = given if given is not None else (variable or "").strip() or None
    if value is None:
        return None
    try:
        rate = float(value)
    except (TypeError, ValueError):
        rate = -1.0
    if isinstance(value, bool) or not 0.0 <= rate <= 1.0:
        problems.append(f"{place}: it is a share from 0 to 1")
        return None
    return rate or None


def _wrong(problems: list[str]) -> SettingsError:
    return SettingsError("Belvedere cannot start, its settings are wrong:\n" + "\n".join(problems))


def _host(dsn: str) -> str:
    try:
        return urlsplit(dsn).hostname or "?"
    except ValueError:
        return "?"


_BASE: Final = ("dedupe", "excepthook", "threading", "atexit", "logging")
"""What makes events of exceptions outside requests, one of each, and sends them before the process ends."""


def _make(name: str) -> Any:
    """Return an integration by its name, `None` where its library is not installed."""
    if name in _CLASSES and importlib.util.find_spec(name) is None:
        return None
    module = importlib.import_module(f"sentry_sdk.integrations.{name}")
    if name == "atexit":
        # It would print to stderr by itself.
        return module.AtexitIntegration(callback=_say_nothing)
    if name == "logging":
        return _breadcrumbs(module.LoggingIntegration)
    return getattr(module, _CLASSES.get(name) or f"{name.capitalize()}Integration")()


def _breadcrumbs(integration: Any) -> Any:
    """Have records of the standard library's logging go before events, and be none themselves.

    An exception that is logged and raised on would be two.
    """
    if "breadcrumb_level" in inspect.signature(integration).parameters:
        return integration(level=None, event_level=None, breadcrumb_level=logging.INFO)
    return integration(level=logging.INFO, event_level=None)


def _say_nothing(pending: int, timeout: float) -> None:
    """Wait in silence."""
