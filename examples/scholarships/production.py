"""What `prod` refuses: values that are missing, and values that are only good for development."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pydantic import SecretStr, ValidationInfo
from pydantic_core import PydanticCustomError
from sqlalchemy import URL

from scholarships.signing_keys import is_pem, weak_secret

Value = TypeVar("Value")

_WELL_KNOWN = {"admin", "changeme", "password", "postgres", "postgresql", "secret", "scholarships"}


def required(value: Value, info: ValidationInfo) -> Value:
    """Refuse that nothing was given."""
    if not value and _production(info):
        raise _unsafe("is missing")
    return value


def refused(*values: str) -> Callable[[Value, ValidationInfo], Value]:
    """Return a rule that refuses these values, or, without any, that a value was given at all."""

    def check(value: Value, info: ValidationInfo) -> Value:
        if _production(info) and (value in values if values else value is not None):
            raise _unsafe(f"must not be {' or '.join(values)}" if values else "must not be set")
        return value

    return check


def refused_url(url: URL, info: ValidationInfo) -> URL:
    """Refuse SQLite, which one machine alone can use, and passwords that everybody tries first."""
    if _production(info):
        if url.get_backend_name() == "sqlite":
            raise _unsafe("is missing or SQLite: it has to be PostgreSQL, postgresql+asyncpg://user:password@host/name")
        if url.password is not None and (url.password.lower() in _WELL_KNOWN or url.password == url.username):
            raise _unsafe("has a well-known password")
    return url


def refused_keys(keys: dict[str, SecretStr], info: ValidationInfo) -> dict[str, SecretStr]:
    """Refuse that there is no key, and secrets that can be guessed."""
    if _production(info):
        required(keys, info)
        for number, key in enumerate(keys.values(), start=1):
            secret = key.get_secret_value()
            if not is_pem(secret) and (problem := weak_secret(secret)):
                raise _unsafe(f"has in key {number} {problem}")
    return keys


def refused_origins(origins: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    """Refuse every origin at once, and those that anybody on the way can speak for."""
    if _production(info):
        if "*" in origins:
            raise _unsafe("must not have *: name the origins")
        if any(origin.startswith("http://") for origin in origins):
            raise _unsafe("must not have origins without TLS: write https://")
    return origins


def _production(info: ValidationInfo) -> bool:
    # An environment that is not known may be a misspelt `prod`: the field itself is then an error already.
    return bool(info.data.get("environment", "prod") == "prod")


def _unsafe(text: str) -> PydanticCustomError:
    return PydanticCustomError("unsafe", "{text}", {"text": text})
