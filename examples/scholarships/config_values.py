"""How the values of the configuration are written. No message repeats what was given: it may be a secret."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, PlainValidator, SecretStr
from pydantic_core import PydanticCustomError
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from scholarships.signing_keys import check_key

DEFAULT_RATES = {"search": "30/minute", "auth": "5/minute", "write": "10/minute"}

_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
}
_RATE = re.compile(r"[1-9][0-9]{0,8} ?/ ?(second|minute|hour|day)")


def _malformed(text: str) -> PydanticCustomError:
    return PydanticCustomError("malformed", "{text}", {"text": text})


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _database_url(value: Any) -> URL:
    try:
        url = make_url(value)
    except (ArgumentError, ValueError):
        raise _malformed("is not a database URL, such as postgresql+asyncpg://user:password@host/name") from None
    if url.drivername not in _DRIVERS:
        raise _malformed("names another driver than sqlite+aiosqlite and postgresql+asyncpg")
    if url.drivername.startswith("postgres") and not url.database:
        raise _malformed("names no database: end it with /name")
    return url.set(drivername=_DRIVERS[url.drivername])


def _endpoint(value: str) -> str:
    parts = _split(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None:
        raise _malformed("is not an address such as http://collector:4318, without credentials")
    return value


def _redis_url(value: SecretStr) -> SecretStr:
    parts = _split(value.get_secret_value())
    if parts.scheme not in {"redis", "rediss"} or not parts.hostname:
        raise _malformed("is not an address such as redis://host:6379/0")
    return value


def _keys(value: Any) -> Any:
    keys = _json_object(value, 'is not a JSON object such as {"2026-01": "a secret, or a key in PEM"}')
    for number, (kid, key) in enumerate(keys.items(), start=1):
        if not kid.strip():
            raise _malformed(f"has no kid for key {number}")
        if problem := check_key(key, signs=number == 1):
            raise _malformed(f"has in key {number} {problem}")
    return keys


def _origins(value: Any) -> Any:
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.lstrip().startswith("[") else value.split(",")
        except (json.JSONDecodeError, RecursionError):
            raise _malformed("is neither a JSON list nor a list with commas") from None
    origins = tuple(origin.strip() if isinstance(origin, str) else "" for origin in value)
    for number, origin in enumerate(origins, start=1):
        parts = _split(origin)
        whole = parts.scheme in {"http", "https"} and parts.hostname and origin == f"{parts.scheme}://{parts.netloc}"
        if origin != "*" and (not whole or "@" in origin):
            raise _malformed(
                f"has in place {number} no origin: write https://host, with a port if need be, and no path"
            )
    return origins


def _rates(value: Any) -> Any:
    rates = _json_object(value, 'is not a JSON object such as {"search": "30/minute"}')
    if unknown := rates.keys() - DEFAULT_RATES.keys():
        what = "a limit that does not exist" if len(unknown) == 1 else f"{len(unknown)} limits that do not exist"
        raise _malformed(f"names {what}; there are {', '.join(DEFAULT_RATES)}")
    for name, rate in rates.items():
        if not isinstance(rate, str) or not _RATE.fullmatch(rate):
            raise _malformed(f"has for {name} no rate such as 30/minute (a second, minute, hour or day)")
    return DEFAULT_RATES | rates


def _json_object(value: Any, problem: str) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value, object_pairs_hook=_once)
        except (json.JSONDecodeError, RecursionError):
            raise _malformed(problem) from None
    if not isinstance(value, dict):
        raise _malformed(problem)
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # JSON parsers keep the last of two equal names: here that would silently drop a key.
    names = [name for name, _ in pairs]
    if len(names) != len(set(names)):
        raise _malformed("has the same name twice")
    return dict(pairs)


def _split(value: str) -> SplitResult:
    try:
        parts = urlsplit(value)
        _ = parts.port  # read to be checked
    except ValueError:
        return SplitResult("", "", "", "", "")
    return parts


Environment = Annotated[Literal["local", "dev", "staging", "prod"], BeforeValidator(_lower)]
LogLevel = Annotated[Literal["debug", "info", "warning", "error", "critical"], BeforeValidator(_lower)]
DatabaseUrl = Annotated[URL, PlainValidator(_database_url), PlainSerializer(str)]  # without the password
Endpoint = Annotated[str, AfterValidator(_endpoint)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
Keys = Annotated[dict[str, SecretStr], BeforeValidator(_keys)]
Origins = Annotated[tuple[str, ...], BeforeValidator(_origins)]
Rates = Annotated[dict[str, str], BeforeValidator(_rates)]
