"""Tokens: JSON Web Tokens that the first key signs and each key verifies, so that keys can be rotated."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import jwt
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from scholarships.config import Config
from scholarships.schemas import Role
from scholarships.signing_keys import SigningKey, read_key

LIFETIME = timedelta(minutes=30)
"""A role that was taken away, and a user who was deleted, keep what a token says for no longer than this."""

LONGEST = 4096
"""Characters of a token that is looked at; one of ours has about 300."""


class InvalidTokenError(Exception):
    """A token that proves nothing, whatever is wrong with it."""


class Identity(BaseModel):
    """Whom a token speaks for."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    # The name goes into columns and log lines: of a length that they hold, and without control characters.
    sub: Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=100)]
    role: Role

    @property
    def username(self) -> str:
        return self.sub


# PyJWT takes true and digits in a text for numbers. The last is what year 9999 ends with: no clock says more.
NumericDate = Annotated[float, Field(strict=True, ge=0, le=253_402_300_799, allow_inf_nan=False)]
"""A moment in seconds since 1970, as a JSON number (RFC 7519, section 2)."""


class Moments(BaseModel):
    """The moments of a token."""

    iat: NumericDate
    exp: NumericDate
    nbf: NumericDate = 0


@dataclass(frozen=True, slots=True)
class Issued:
    """A token, and for how many seconds it is good."""

    token: str
    expires_in: int


class Tokens:
    """Makes and reads tokens.

    Args:
        keys: by `kid`; the first one signs.
        issuer: who issues the tokens (`iss`).
        audience: whom they are for (`aud`).
        now: the time, for `iat` and `exp`.
    """

    def __init__(
        self,
        keys: Mapping[str, SecretStr],
        *,
        issuer: str,
        audience: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._keys = {kid: read_key(kid, key) for kid, key in keys.items()}
        self._first = next(iter(self._keys.values()))
        self._issuer = issuer
        self._audience = audience
        self._now = now

    def issue(self, username: str, role: Role) -> Issued:
        """Return a new token."""
        now = self._now()
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "iat": now,
            "exp": now + LIFETIME,
            "sub": username,
            "role": role.value,
        }
        key = self._first
        token = jwt.encode(claims, key.signs, algorithm=key.algorithm, headers={"kid": key.kid})
        return Issued(token, int(LIFETIME.total_seconds()))

    def read(self, token: str) -> Identity:
        """Return whom a token speaks for.

        Raises:
            InvalidTokenError: when it is forged, expired, for somebody else, of another algorithm than its key's, or no
                token at all.
        """
        try:
            key = self._key(token)
            claims = jwt.decode(
                token,
                key.verifies,
                # Never what the token says: with a public key as the secret of HS256, anybody could sign.
                algorithms=[key.algorithm],
                issuer=self._issuer,
                audience=self._audience,
                options={"require": ["iss", "aud", "iat", "exp", "sub"]},
            )
            Moments.model_validate(claims)
            return Identity.model_validate(claims)
        # Those that are not PyJWT's come of headers and claims that nobody made in earnest: too deep, out of range.
        except (jwt.PyJWTError, ValidationError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise InvalidTokenError from error

    def _key(self, token: str) -> SigningKey:
        if len(token) > LONGEST:
            raise InvalidTokenError
        header: dict[str, Any] = jwt.get_unverified_header(token)
        key = self._keys.get(header.get("kid", ""))
        if key is None:
            raise InvalidTokenError
        return key


def make_tokens(config: Config) -> Tokens:
    """Return what makes and reads the tokens of a service; without keys, by one that this process alone has."""
    keys = config.jwt_keys or {"made-at-start": SecretStr(secrets.token_urlsafe(48))}
    return Tokens(keys, issuer=config.jwt_issuer or "scholarships", audience=config.jwt_audience or "scholarships")
