"""What the service takes from its environment: each variable with its default and its rule for production."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from sqlalchemy import make_url

from scholarships.config_values import DatabaseUrl, Endpoint, Environment, Keys, LogLevel, Origins, Rates, RedisUrl
from scholarships.production import refused, refused_keys, refused_origins, refused_url, required

SQLITE_FILE = Path(__file__).parent / ".data" / "scholarships.db"


class ConfigError(ValueError):
    """A configuration that the service must not start with; its text names every bad variable and shows no value."""


class Config(BaseSettings):
    """The configuration, frozen. Keyword arguments win over environment variables; an empty variable is an absent one.

    Raises:
        ConfigError: naming every value that is malformed and, in `prod`, every one that is missing or unsafe.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_ignore_empty=True,
        validate_default=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    # The first field: the rules for production of all others ask for it.
    environment: Environment = "local"
    """Where the service runs; `prod` refuses what is only good for development."""
    host: str = "127.0.0.1"
    """The address to listen on."""
    port: int = Field(8000, ge=0, le=65535)
    """The port to listen on; 0 takes a free one."""
    database_url: Annotated[DatabaseUrl, AfterValidator(refused_url)] = make_url(f"sqlite:///{SQLITE_FILE}")
    """The database: SQLite, or PostgreSQL as production needs."""
    jwt_issuer: Annotated[str | None, AfterValidator(required)] = None
    """Who issues the tokens (`iss`)."""
    jwt_audience: Annotated[str | None, AfterValidator(required)] = None
    """Whom the tokens are for (`aud`)."""
    jwt_keys: Annotated[Keys, AfterValidator(refused_keys)] = Field(default_factory=dict)
    """The keys of the tokens by `kid`, secrets or PEM; the first one signs."""
    cors_origins: Annotated[Origins, AfterValidator(refused_origins)] = ()
    """The origins whose pages may call the service: a JSON list, or with commas between them."""
    log_level: Annotated[LogLevel, AfterValidator(refused("debug"))] = "info"
    """The least level that is logged."""
    otel_endpoint: Endpoint | None = None
    """Where traces go, by OTLP over HTTP; none without it."""
    enable_metrics: bool = True
    """Whether there are metrics."""
    rate_limits: Rates = Field(default_factory=dict)
    """Calls by client, as `{"search":"30/minute"}`; what is absent keeps its default."""
    rate_limit_redis_url: RedisUrl | None = None
    """The Redis that all processes count in; without it each counts for itself."""
    demo_password: Annotated[SecretStr | None, AfterValidator(refused())] = None
    """The password of the sample users."""

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            # Neither this error's text nor what it was raised from may show a value: they can be passwords and keys.
            raise ConfigError(_message(error)) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, _Variables(settings_cls)

    @property
    def production(self) -> bool:
        return self.environment == "prod"


class _Variables(EnvSettingsSource):
    """Environment variables as they are: the fields read their JSON, so that a mistake in it is one among others."""

    def decode_complex_value(self, field_name: str, field: Any, value: Any) -> Any:
        return value


def _message(error: ValidationError) -> str:
    problems: dict[str, str] = {}
    for problem in error.errors(include_input=False, include_url=False, include_context=False):
        problems.setdefault(str(problem["loc"][0]).upper(), problem["msg"])
    width = max(map(len, problems))
    lines = [f"  {name:<{width}}  {text}" for name, text in problems.items()]
    return "\n".join(["The Scholarship API cannot start; these settings are missing, malformed or unsafe:", *lines])
