"""Tokens for tests: good ones of each role, and all that a forger could try."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from pydantic import SecretStr

from scholarships.schemas import Role

SECRET = "kT9vQ2xW7mZ4pL8sR1nY6bD3fH5jC0aE"
PRIVATE = (
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
    "-----END PRIVATE KEY-----\n"
)
PUBLIC = (
    "-----BEGIN PUBLIC KEY-----\n"
    "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n"
    "-----END PUBLIC KEY-----\n"
)
"""The key pair that RFC 8032, section 7.1 publishes as its first test."""
ISSUER = "https://id.example.org"
AUDIENCE = "scholarships"
KEYS: dict[str, Any] = {
    "jwt_keys": {"2027-01": SecretStr(SECRET), "2026-07": SecretStr(PUBLIC)},
    "jwt_issuer": ISSUER,
    "jwt_audience": AUDIENCE,
}
"""Of a configuration: a secret signs, and an older key pair's public half still verifies."""
FREELY: dict[str, Any] = {**KEYS, "rate_limits": dict.fromkeys(("search", "auth", "write"), "100000/second")}
"""The same, with limits that no test reaches."""


def token(username: str = "student", role: Role | None = None) -> str:
    """Return a token that is good all day; the role is by default the one of the user of that name.

    Modules make theirs when they are collected, and are run when their turn comes: later than one of the service lasts.
    """
    return signed(sub=username, role=role or Role(username), exp=datetime.now(UTC) + timedelta(days=1))


def bearer(username: str = "student", role: Role | None = None) -> dict[str, str]:
    """Return the header of somebody who is signed in."""
    return {"Authorization": f"Bearer {token(username, role)}"}


def claims(**changed: Any) -> dict[str, Any]:
    """Return the claims of an admin's token; those that are changed to `None` are left out."""
    now = datetime.now(UTC)
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + timedelta(hours=1),
        "sub": "admin",
        "role": "admin",
    }
    return {name: value for name, value in (good | changed).items() if value is not None}


def signed(key: str = SECRET, algorithm: str = "HS256", kid: Any = "2027-01", **changed: Any) -> str:
    """Return a token signed as one likes."""
    return jwt.encode(claims(**changed), key, algorithm=algorithm, headers={"kid": kid})
