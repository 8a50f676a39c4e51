"""What can be set, feature by feature: by code, by `BELVEDERE_*`, by the variables that the ecosystem knows, by
default.

The earlier of these wins. A feature is off when its field is `None` (`Settings(headers=None)`,
`BELVEDERE_HEADERS=null`).
"""

from __future__ import annotations

import re
from typing import Any

from pydantic import ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from belvedere.settings.environment import DELIMITER, PREFIX, KnownVariables, OwnVariables, process_environment
from belvedere.settings.model import (
    Group,
    HeaderSettings,
    HealthSettings,
    LogSettings,
    MetricSettings,
    Network,
    ProblemSettings,
    RequestSettings,
    TracingSettings,
)

__all__ = [
    "Group",
    "HeaderSettings",
    "HealthSettings",
    "LogSettings",
    "MetricSettings",
    "Network",
    "ProblemSettings",
    "RequestSettings",
    "Settings",
    "SettingsError",
    "TracingSettings",
]


class SettingsError(ValueError):
    """Settings that cannot be used; the message names every bad one, where it may be set, and no value."""


class Settings(BaseSettings):
    """Everything that can be set about a service, frozen; keyword arguments win over the environment, key by key.

    Raises:
        SettingsError: naming every bad setting.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=PREFIX, use_attribute_docstrings=True, validate_default=True
    )

    service: str = ""
    """The service's name; by default the application's title in lower case with `-`."""
    version: str = ""
    """The service's version; by default the application's."""
    environment: str = "local"
    """Where it runs: any text. In `local` nothing is drained, in `prod` and `production` logs are always JSON."""
    requests: RequestSettings = RequestSettings()
    """Ids and context of requests."""
    logs: LogSettings | None = LogSettings()
    """Log lines."""
    metrics: MetricSettings | None = MetricSettings()
    """Metrics."""
    health: HealthSettings | None = HealthSettings()
    """Probes and checks."""
    problems: ProblemSettings | None = ProblemSettings()
    """The shape of errors."""
    headers: HeaderSettings | None = HeaderSettings()
    """Security headers."""
    tracing: TracingSettings | None = TracingSettings()
    """Traces."""

    @model_validator(mode="after")
    def _own_paths(self) -> Settings:
        if self.metrics is not None and self.metrics.port is None:
            for probe, path in self.health or ():
                if path == self.metrics.path:
                    raise ValueError(f"metrics.path and health.{probe} are both {path}: give each its own")
        return self

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SettingsError(_message(error)) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        environ = process_environment()
        return init_settings, OwnVariables(settings_cls, environ), KnownVariables(settings_cls, environ)

    def named(self, title: str, version: str) -> Settings:
        """Return these settings with the service's name and version taken from the application where none was given."""
        slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
        return self.model_copy(update={"service": self.service or slug or "app", "version": self.version or version})


def _message(error: ValidationError) -> str:
    # Pydantic's own text shows each input, which may be a token.
    lines = []
    for problem in error.errors(include_input=False, include_url=False, include_context=False):
        place = [
            str(part) for part in problem["loc"] if not str(part).startswith(("function-", "is-instance", "literal["))
        ]
        variable = PREFIX + (DELIMITER.join(part.upper() for part in place[:2]) or "*")
        lines.append(f"  {'.'.join(place) or 'settings'} ({variable}): {problem['msg'].removeprefix('Value error, ')}")
    return "Belvedere cannot start, its settings are wrong:\n" + "\n".join(dict.fromkeys(lines))
