"""A key for this run, and a token that it signs: half of the requests carry one, as a signed-in student's do."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping

import jwt

_KEY = secrets.token_hex(32)
_ISSUER, _AUDIENCE = "https://auth.example", "scholarships"


def environment() -> Mapping[str, str]:
    """Return the service's variables for tokens."""
    return {"JWT_ISSUER": _ISSUER, "JWT_AUDIENCE": _AUDIENCE, "JWT_KEYS": json.dumps({"load": _KEY})}


def token() -> str:
    """Return a student's token."""
    now = int(time.time())
    claims = {"iss": _ISSUER, "aud": _AUDIENCE, "sub": "student", "role": "student", "iat": now, "exp": now + 3600}
    return jwt.encode(claims, _KEY, "HS256", headers={"kid": "load"})
