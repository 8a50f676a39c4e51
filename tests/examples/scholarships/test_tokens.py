"""Tokens that prove something, and those that prove nothing."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest
from pydantic import SecretStr

from belvedere.testing import CapturedLogs
from scholarships.auth.tokens import InvalidTokenError, Tokens
from scholarships.schemas import Role
from scholarships.signing_keys import read_key
from tests.examples.scholarships.identities import (
    AUDIENCE,
    ISSUER,
    PRIVATE,
    PUBLIC,
    SECRET,
    bearer,
    claims,
    signed,
    token,
)

NOW = datetime.now(UTC)
NEW = {"iss": ISSUER, "aud": AUDIENCE}


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def unsigned(algorithm: str) -> str:
    body = claims(iat=int(NOW.timestamp()), exp=int(NOW.timestamp()) + 3600)
    return f"{part({'alg': algorithm, 'kid': '2027-01', 'typ': 'JWT'})}.{part(body)}."


def with_public_key_as_secret() -> str:
    # PyJWT refuses to do this; a forger's library does not.
    body = claims(iat=int(NOW.timestamp()), exp=int(NOW.timestamp()) + 3600)
    message = f"{part({'alg': 'HS256', 'kid': '2026-07', 'typ': 'JWT'})}.{part(body)}"
    mac = hmac.new(PUBLIC.encode(), message.encode(), hashlib.sha256).digest()
    return f"{message}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


FORGED = {
    "nothing": "",
    "no token": "abc",
    "three dots": "...",
    "not ASCII": "é.é.é",
    "another secret": signed("another secret of thirty-two bytes"),
    "another secret, in its place": unsigned("HS256") + part("x"),
    "none": unsigned("none"),
    "None": unsigned("None"),
    "no signature": unsigned("HS256"),
    "unknown kid": signed(kid="2020-01"),
    "no kid": jwt.encode(claims(), SECRET, algorithm="HS256"),
    "a kid that is a path": signed(kid="../../dev/null"),
    "another algorithm of the same secret": signed(SECRET * 2, algorithm="HS512"),
    "another key's kid": signed(kid="2026-07"),
    "a public key as secret": with_public_key_as_secret(),
    "expired": signed(exp=NOW - timedelta(seconds=1)),
    "not yet": signed(nbf=NOW + timedelta(days=1)),
    "issued in the future": signed(iat=NOW + timedelta(days=1)),
    "another audience": signed(aud="elsewhere"),
    "another issuer": signed(iss="https://elsewhere.example"),
    "no audience": signed(aud=None),
    "no issuer": signed(iss=None),
    "no expiry": signed(exp=None),
    "no subject": signed(sub=None),
    "no role": signed(role=None),
    "an unknown role": signed(role="root"),
    "a role that is a list": signed(role=["admin"]),
    "an empty subject": signed(sub=""),
    "a subject of control characters": signed(sub="a\r\nb"),
    "a subject that is too long": signed(sub="a" * 101),
    "changed claims": ".".join([token().split(".")[0], part(claims(iat=0, exp=2**40)), token().split(".")[2]]),
    "too long": signed(sub="a" * 10_000),
    "a deep header": f"{base64.urlsafe_b64encode(b'[' * 2_900).decode().rstrip('=')}.e30.e30",
    "a header that is a list": f"{part(['HS256'])}.e30.e30",
    "a kid that is a list": f"{part({'alg': 'HS256', 'kid': ['2027-01']})}.e30.e30",
}


SOON = int(NOW.timestamp()) + 86_400
NUMBERS = {"iat": int(NOW.timestamp()) - 3600, "exp": SOON}


NULL = object()


def by_hand(**changed: Any) -> str:
    """Return a token signed by the right key, whose claims PyJWT might refuse to make."""
    body = {name: None if value is NULL else value for name, value in claims(**(NUMBERS | changed)).items()}
    message = f"{part({'alg': 'HS256', 'kid': '2027-01', 'typ': 'JWT'})}.{part(body)}"
    mac = hmac.new(SECRET.encode(), message.encode(), hashlib.sha256).digest()
    return f"{message}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


WRONG_KINDS = {
    "digits": str(SOON),
    "digits of a fraction": f"{SOON}.5",
    "digits in space": f" {SOON} ",
    "no digits": "tomorrow",
    "a moment in text": "2099-01-01T00:00:00Z",
    "true": True,
    "false": False,
    "a list": [SOON],
    "an object": {"at": SOON},
    "not a number": float("nan"),
    "infinite": float("inf"),
    "infinitely long ago": float("-inf"),
    "after the year 9999": 253_402_300_800,
    "a number of 400 digits": 10**400,
    "a float of 300 digits": 1e300,
    "negative": -1,
    "a negative float": -1e9,
}
MOMENTS = {
    f"{name}: {kind}": by_hand(**{name: value}) for name in ("exp", "iat", "nbf") for kind, value in WRONG_KINDS.items()
}
CLAIMS = MOMENTS | {
    "an expiry that has just been": by_hand(exp=NOW.timestamp() - 1.5),
    "a beginning of null": by_hand(nbf=NULL),
    "an expiry of null": by_hand(exp=NULL),
    "a subject that is a number": by_hand(sub=7),
    "a subject that is true": by_hand(sub=True),
    "a subject that is a list": by_hand(sub=["admin"]),
    "a subject that is an object": by_hand(sub={"name": "admin"}),
    "a subject of half a character": by_hand(sub="\ud800"),
    "a role that is a number": by_hand(role=0),
    "an issuer that is a list": by_hand(iss=[ISSUER]),
    "an issuer that is true": by_hand(iss=True),
    "an audience of nobody": by_hand(aud=[]),
    "audiences without this one": by_hand(aud=["elsewhere", "scholarship", "scholarships "]),
    "an audience that is a number": by_hand(aud=7),
    "an audience that is an object": by_hand(aud={AUDIENCE: True}),
    "an audience in a list in a list": by_hand(aud=[[AUDIENCE]]),
    "an audience beside a number": by_hand(aud=[AUDIENCE, 7]),
}


async def proves_nothing(client: httpx.AsyncClient, given: str) -> None:
    header = [(b"authorization", b"Bearer " + given.encode())]
    answer = await client.get("/auth/me", headers=header)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert answer.json() == {
        "error": "http_401",
        "message": "A valid access token is needed",
        "request_id": answer.headers["X-Request-ID"],
    }
    assert (await client.get("/scholarships/1", headers=header)).status_code == 200


@pytest.mark.parametrize("case", FORGED)
async def test_forged(client: httpx.AsyncClient, belvedere_logs: CapturedLogs, case: str) -> None:
    """Whatever is wrong with a token, the answer is the same 401, the log names nobody, and open calls stay open."""
    await proves_nothing(client, FORGED[case])
    assert not any("user_id" in line for line in belvedere_logs)


@pytest.mark.parametrize("name", ["exp", "iat", "nbf", "other"])
async def test_claims_of_wrong_kinds(client: httpx.AsyncClient, belvedere_logs: CapturedLogs, name: str) -> None:
    """A signed token whose claims are of another kind than RFC 7519 has them proves nothing either."""
    for case, given in CLAIMS.items():
        if case.startswith(f"{name}: ") or (name == "other" and case not in MOMENTS):
            await proves_nothing(client, given)
    assert not any("user_id" in line for line in belvedere_logs)


@pytest.mark.parametrize(
    "changed",
    [{}, {"exp": SOON + 0.5}, {"iat": 0.5, "nbf": 0}, {"aud": ["elsewhere", AUDIENCE]}, {"exp": 253_402_300_799}],
)
async def test_good(client: httpx.AsyncClient, changed: dict[str, Any]) -> None:
    """A moment may have a fraction, and a token several audiences (RFC 7519, sections 2 and 4.1.3)."""
    answer = await client.get("/auth/me", headers={"Authorization": f"Bearer {by_hand(**changed)}"})
    assert (answer.status_code, answer.json()) == (200, {"username": "admin", "role": "admin"})


@pytest.mark.parametrize("value", [None, "Basic YWRtaW46YWRtaW4=", "bearer", "Token abc", ""])
async def test_no_token(client: httpx.AsyncClient, value: str | None) -> None:
    """Without a token, the answer says which kind is needed."""
    answer = await client.get("/auth/me", headers={} if value is None else {"Authorization": value})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] in {"Bearer", 'Bearer error="invalid_token"'}
    assert answer.json()["message"] == "A valid access token is needed"


async def test_open(client: httpx.AsyncClient, belvedere_logs: CapturedLogs) -> None:
    """Where nobody has to be signed in, the log says who was, whatever the answer."""
    for path in ("/scholarships/1", "/scholarships/99", "/scholarships/x", "/nowhere"):
        await client.get(path, headers=bearer("student"))
    await client.post("/search", content=b"{", headers=bearer("student"))
    lines = [line for line in belvedere_logs if line["logger"] == "belvedere.access"]
    assert [(line["status"], line["user_id"]) for line in lines] == [
        (status, "student") for status in (200, 404, 422, 404, 422)
    ]


def test_rotation() -> None:
    """The first key signs; tokens of the others are good until their key is taken out."""
    old = Tokens({"1": SecretStr(SECRET)}, issuer=ISSUER, audience=AUDIENCE)
    both = Tokens({"2": SecretStr(PRIVATE), "1": SecretStr(SECRET)}, issuer=ISSUER, audience=AUDIENCE)
    new = Tokens({"2": SecretStr(PUBLIC)}, issuer=ISSUER, audience=AUDIENCE)
    before, after = old.issue("ann", Role.PARTNER).token, both.issue("ann", Role.PARTNER).token
    assert jwt.get_unverified_header(after) == {"alg": "EdDSA", "kid": "2", "typ": "JWT"}
    assert both.read(before) == both.read(after) == new.read(after)
    assert both.read(after).model_dump() == {"sub": "ann", "role": "partner"}
    for tokens, given in ((old, after), (new, before)):
        with pytest.raises(InvalidTokenError):
            tokens.read(given)


def test_expiry() -> None:
    """A token is good for the time that it was given for."""
    issued = Tokens(
        {"1": SecretStr(SECRET)},
        issuer=ISSUER,
        audience=AUDIENCE,
        now=lambda: datetime.now(UTC) - timedelta(minutes=29),
    )
    late = Tokens(
        {"1": SecretStr(SECRET)},
        issuer=ISSUER,
        audience=AUDIENCE,
        now=lambda: datetime.now(UTC) - timedelta(minutes=31),
    )
    assert issued.read(issued.issue("ann", Role.STUDENT).token).username == "ann"
    with pytest.raises(InvalidTokenError):
        late.read(late.issue("ann", Role.STUDENT).token)


def test_nothing_shown() -> None:
    """A key does not show itself."""
    assert SECRET not in repr(read_key("1", SECRET))
