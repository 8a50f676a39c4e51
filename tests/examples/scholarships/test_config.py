"""The configuration: its defaults, what it refuses everywhere, and what it refuses in production."""

from __future__ import annotations

import json
import traceback

import pytest
from pydantic import SecretStr, ValidationError
from sqlalchemy import make_url

from scholarships.config import SQLITE_FILE, Config, ConfigError
from scholarships.service import create_app
from tests.examples.scholarships.identities import PRIVATE, PUBLIC, SECRET

PRODUCTION = {
    "ENVIRONMENT": "prod",
    "DATABASE_URL": "postgresql://api:Xw4-uR9_kz@db.internal/scholarships",
    "JWT_ISSUER": "https://id.example.org",
    "JWT_AUDIENCE": "scholarships",
    "JWT_KEYS": json.dumps({"2027-01": PRIVATE, "2026-07": PUBLIC, "2026-01": SECRET}),
    "CORS_ORIGINS": "https://www.example.org, https://app.example.org:8443",
}
NO_URL = "is not a database URL, such as postgresql+asyncpg://user:password@host/name"
NO_ORIGIN = "no origin: write https://host, with a port if need be, and no path"
NO_ENDPOINT = "is not an address such as http://collector:4318, without credentials"
NO_RATE = "no rate such as 30/minute (a second, minute, hour or day)"
NO_PEM = "a PEM that is no Ed25519 key"
SQLITE = "is missing or SQLite: it has to be PostgreSQL, postgresql+asyncpg://user:password@host/name"
BEGINNING = "The Scholarship API cannot start; these settings are missing, malformed or unsafe:"


def given(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def refusal(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> list[str]:
    """Return the lines of the one message, each as `NAME: text`."""
    given(monkeypatch, variables)
    with pytest.raises(ConfigError) as error:
        Config()
    first, *lines = str(error.value).splitlines()
    assert first == BEGINNING
    return [": ".join(line.split(maxsplit=1)) for line in lines]


def test_defaults() -> None:
    """Nothing has to be said to start on one's own machine, on a file of SQLite beside the code."""
    assert Config().model_dump() == {
        "environment": "local",
        "host": "127.0.0.1",
        "port": 8000,
        "database_url": f"sqlite+aiosqlite:///{SQLITE_FILE}",
        "jwt_issuer": None,
        "jwt_audience": None,
        "jwt_keys": {},
        "cors_origins": (),
        "log_level": "info",
        "otel_endpoint": None,
        "enable_metrics": True,
        "rate_limits": {"search": "30/minute", "auth": "5/minute", "write": "10/minute"},
        "rate_limit_redis_url": None,
        "demo_password": None,
    }


def test_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each variable is read in the form that people write it in."""
    given(
        monkeypatch,
        {
            "ENVIRONMENT": "Staging",
            "HOST": "::1",
            "PORT": "9000",
            "DATABASE_URL": "postgres://api:secret@db/scholarships",
            "JWT_ISSUER": "https://id.example.org",
            "JWT_AUDIENCE": "scholarships",
            "JWT_KEYS": json.dumps({"new": SECRET, "old": PUBLIC}),
            "CORS_ORIGINS": '["https://www.example.org", "http://localhost:3000"]',
            "LOG_LEVEL": "WARNING",
            "OTEL_ENDPOINT": "http://collector:4318",
            "ENABLE_METRICS": "false",
            "RATE_LIMITS": '{"search": "100 / hour"}',
            "RATE_LIMIT_REDIS_URL": "rediss://:pass@cache:6380/1",
            "DEMO_PASSWORD": "",
        },
    )
    config = Config()
    assert config.environment == "staging"
    assert (config.host, config.port) == ("::1", 9000)
    assert config.database_url == make_url("postgresql+asyncpg://api:secret@db/scholarships")
    assert list(config.jwt_keys) == ["new", "old"]
    assert config.jwt_keys["new"].get_secret_value() == SECRET
    assert config.cors_origins == ("https://www.example.org", "http://localhost:3000")
    assert config.log_level == "warning"
    assert config.otel_endpoint == "http://collector:4318"
    assert config.enable_metrics is False
    assert config.rate_limits == {"search": "100 / hour", "auth": "5/minute", "write": "10/minute"}
    assert config.rate_limit_redis_url is not None
    assert config.demo_password is None
    assert config.production is False


def test_code_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """What code says wins over the environment, and cannot be changed afterwards."""
    given(monkeypatch, {"PORT": "9000", "LOG_LEVEL": "nonsense"})
    config = Config(port=1, log_level="error", jwt_keys={"a": SecretStr(SECRET)}, cors_origins=["https://a.example"])
    assert (config.port, config.log_level) == (1, "error")
    assert config.jwt_keys == {"a": SecretStr(SECRET)}
    with pytest.raises(ValidationError):
        config.port = 2  # type: ignore[misc]


def test_production(monkeypatch: pytest.MonkeyPatch) -> None:
    """With everything it needs, it starts in production."""
    given(monkeypatch, PRODUCTION)
    config = Config()
    assert config.production is True
    assert config.database_url.drivername == "postgresql+asyncpg"
    assert config.cors_origins == ("https://www.example.org", "https://app.example.org:8443")


def test_nothing_in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    """In production one message names everything that is missing."""
    assert refusal(monkeypatch, {"ENVIRONMENT": "prod"}) == [
        f"DATABASE_URL: {SQLITE}",
        "JWT_ISSUER: is missing",
        "JWT_AUDIENCE: is missing",
        "JWT_KEYS: is missing",
    ]


def test_unsafe_in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    """In production one message names everything that is unsafe, beside what is malformed anywhere."""
    unsafe = {
        "DATABASE_URL": "postgresql://postgres:postgres@db/scholarships",
        "JWT_KEYS": json.dumps({"2027-01": PRIVATE, "2026-01": "too-short-a-secret"}),
        "CORS_ORIGINS": "*",
        "LOG_LEVEL": "debug",
        "OTEL_ENDPOINT": "collector:4318",
        "RATE_LIMITS": '{"search": "often"}',
        "DEMO_PASSWORD": "opensesame",
    }
    assert refusal(monkeypatch, PRODUCTION | unsafe) == [
        "DATABASE_URL: has a well-known password",
        "JWT_KEYS: has in key 2 a secret shorter than 32 bytes",
        "CORS_ORIGINS: must not have *: name the origins",
        "LOG_LEVEL: must not be debug",
        f"OTEL_ENDPOINT: {NO_ENDPOINT}",
        f"RATE_LIMITS: has for search {NO_RATE}",
        "DEMO_PASSWORD: must not be set",
    ]


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("DATABASE_URL", "sqlite:////srv/scholarships.db", SQLITE),
        ("DATABASE_URL", "postgresql://api:api@db/scholarships", "has a well-known password"),
        ("DATABASE_URL", "postgresql://api:ChangeMe@db/scholarships", "has a well-known password"),
        ("JWT_KEYS", "{}", "is missing"),
        ("JWT_KEYS", json.dumps({"a": "ab" * 30}), "has in key 1 a secret of fewer than 8 different characters"),
        ("CORS_ORIGINS", "https://www.example.org,http://app.example.org", "must not have origins without TLS: write https://"),
    ],
)  # fmt: skip
def test_unsafe(monkeypatch: pytest.MonkeyPatch, name: str, value: str, text: str) -> None:
    """What is fine on one's own machine, and unsafe in production, is refused there alone."""
    assert refusal(monkeypatch, PRODUCTION | {name: value}) == [f"{name}: {text}"]
    given(monkeypatch, {"ENVIRONMENT": "local"})
    Config()


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("HOST", "", None),
        ("PORT", "65536", "Input should be less than or equal to 65535"),
        ("PORT", "http", "Input should be a valid integer, unable to parse string as an integer"),
        ("DATABASE_URL", "scholarships.db", NO_URL),
        ("DATABASE_URL", "postgresql://db:port/x", NO_URL),
        ("DATABASE_URL", "postgresql://db", "names no database: end it with /name"),
        ("DATABASE_URL", "mysql://db/x", "names another driver than sqlite+aiosqlite and postgresql+asyncpg"),
        ("JWT_KEYS", "secret", 'is not a JSON object such as {"2026-01": "a secret, or a key in PEM"}'),
        ("JWT_KEYS", "[]", 'is not a JSON object such as {"2026-01": "a secret, or a key in PEM"}'),
        ("JWT_KEYS", '{"a": "x", "a": "y"}', "has the same name twice"),
        ("JWT_KEYS", '{"": "x"}', "has no kid for key 1"),
        ("JWT_KEYS", '{"a": 1}', "has in key 1 neither a secret nor a PEM"),
        ("JWT_KEYS", '{"a": ""}', "has in key 1 neither a secret nor a PEM"),
        ("JWT_KEYS", json.dumps({"a": PUBLIC, "b": PRIVATE}), "has in key 1 a public key, but the first key signs"),
        ("JWT_KEYS", json.dumps({"a": PRIVATE.replace("PRIVATE", "RSA PRIVATE")}), f"has in key 1 {NO_PEM}"),
        ("JWT_KEYS", json.dumps({"a": PRIVATE.replace("YDK2Vw", "YDK2Vu")}), f"has in key 1 {NO_PEM}"),
        ("JWT_KEYS", json.dumps({"a": PRIVATE.replace("MC4CA", "MC4C")}), f"has in key 1 {NO_PEM}"),
        ("CORS_ORIGINS", "[", "is neither a JSON list nor a list with commas"),
        ("CORS_ORIGINS", "[1]", f"has in place 1 {NO_ORIGIN}"),
        ("CORS_ORIGINS", "https://a.example/", f"has in place 1 {NO_ORIGIN}"),
        ("CORS_ORIGINS", "https://a.example,null", f"has in place 2 {NO_ORIGIN}"),
        ("CORS_ORIGINS", "https://a.example:port", f"has in place 1 {NO_ORIGIN}"),
        ("CORS_ORIGINS", "https://u:p@a.example", f"has in place 1 {NO_ORIGIN}"),
        ("LOG_LEVEL", "loud", "Input should be 'debug', 'info', 'warning', 'error' or 'critical'"),
        ("OTEL_ENDPOINT", "grpc://collector:4317", NO_ENDPOINT),
        ("OTEL_ENDPOINT", "http://user:pass@collector", NO_ENDPOINT),
        ("ENABLE_METRICS", "perhaps", "Input should be a valid boolean, unable to interpret input"),
        ("RATE_LIMITS", "30/minute", 'is not a JSON object such as {"search": "30/minute"}'),
        ("RATE_LIMITS", '{"read": "1/day"}', "names a limit that does not exist; there are search, auth, write"),
        ("RATE_LIMITS", '{"a": "1/day", "b": 1}', "names 2 limits that do not exist; there are search, auth, write"),
        ("RATE_LIMITS", '{"auth": "0/minute"}', f"has for auth {NO_RATE}"),
        ("RATE_LIMITS", '{"auth": 5}', f"has for auth {NO_RATE}"),
        ("RATE_LIMIT_REDIS_URL", "memcached://cache", "is not an address such as redis://host:6379/0"),
    ],
)  # fmt: skip
def test_malformed(monkeypatch: pytest.MonkeyPatch, name: str, value: str, text: str | None) -> None:
    """What cannot be read is refused in every environment, with what it should be; an empty variable is none."""
    if text is None:
        given(monkeypatch, {name: value})
        assert Config() == Config(host="127.0.0.1")
    else:
        assert refusal(monkeypatch, {name: value}) == [f"{name}: {text}"]


def test_unknown_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that nobody knows may be a misspelt `prod`, so that what `prod` refuses is named as well."""
    assert refusal(monkeypatch, PRODUCTION | {"ENVIRONMENT": "production", "DEMO_PASSWORD": "opensesame"}) == [
        "ENVIRONMENT: Input should be 'local', 'dev', 'staging' or 'prod'",
        "DEMO_PASSWORD: must not be set",
    ]


def test_no_secret_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the message, nor the traceback under it, nor the configuration itself shows a secret."""
    secrets = {
        "DATABASE_URL": "postgresql://hidden-user:hidden-1@host:port/name",
        "JWT_KEYS": '{"kid": "hidden-2", "kid": "hidden-3"}',
        "RATE_LIMIT_REDIS_URL": "http://:hidden-4@cache",
        "DEMO_PASSWORD": "hidden-5",
        "ENVIRONMENT": "prod",
    }
    given(monkeypatch, secrets)
    with pytest.raises(ConfigError) as refused:
        Config()
    assert "hidden" not in "".join(traceback.format_exception(refused.value))
    monkeypatch.undo()
    config = Config(
        database_url="postgresql://user:hidden-1@host/name",
        jwt_keys={"kid": "hidden-2"},
        rate_limit_redis_url="redis://:hidden-3@cache",
        demo_password="hidden-4",
    )
    assert "hidden" not in f"{config!r} {config} {config.model_dump()} {config.model_dump_json()}"


def test_the_service_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unsafe configuration stops the service before there is one."""
    given(monkeypatch, {"ENVIRONMENT": "prod"})
    with pytest.raises(ConfigError, match="JWT_KEYS"):
        create_app()
