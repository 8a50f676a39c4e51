"""Tokens that somebody made up prove nothing, whatever is wrong with them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from tests.examples.scholarships.identities import PRIVATE, PUBLIC, SECRET, claims, signed, token
from tests.examples.security.attack import Target

DRAFT = {
    "title": "Forged",
    "provider": "Nobody",
    "description": "Never stored.",
    "amount": 1,
    "deadline": "2027-09-30",
    "field_of_study": "Forgery",
    "level": "doctoral",
    "country": "Nowhere",
    "url": "https://nobody.example/",
}


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _by_hand(header: dict[str, Any], key: bytes = b"", **changed: Any) -> str:
    """Return a token that PyJWT itself refuses to make."""
    numbers = {name: int(value.timestamp()) for name, value in claims().items() if isinstance(value, datetime)}
    text = f"{_part(header)}.{_part(claims(**(numbers | changed)))}"
    signature = hmac.new(key, text.encode(), hashlib.sha256).digest() if key else b""
    return f"{text}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def _promoted() -> str:
    """Return a student's token whose claims are an admin's."""
    head, _, signature = token("student").split(".")
    return f"{head}.{token('admin').split('.')[1]}.{signature}"


PAST = datetime.now(UTC) - timedelta(hours=1)
ADMIN = {"alg": "HS256", "kid": "2027-01", "typ": "JWT"}
FORGED = {
    "expired": signed(iat=PAST, exp=PAST + timedelta(minutes=30)),
    "not yet": signed(nbf=datetime.now(UTC) + timedelta(hours=1)),
    "without an end": signed(exp=None),
    "an end that is no number": _by_hand(ADMIN, SECRET.encode(), exp="never"),
    "for another audience": signed(aud="shop"),
    "for no audience": signed(aud=None),
    "for an audience that begins alike": signed(aud="scholarships-admin"),
    "by another issuer": signed(iss="https://id.example.org.evil.example"),
    "by no issuer": signed(iss=None),
    "by an unknown key": signed(kid="2099-01"),
    "by a key of no name": signed(kid=""),
    "by a key that is a path": signed(kid="../../../../dev/null"),
    "by a key that is SQL": signed(kid="2027-01' OR '1'='1"),
    "by another secret": signed(key="x" * 32),
    "by an empty secret": _by_hand(ADMIN, b"\0"),
    "by no key": _by_hand({"alg": "HS256"}, SECRET.encode()),
    "by a list of keys": _by_hand({"alg": "HS256", "kid": ["2027-01"]}, SECRET.encode()),
    "by a key of its own": _by_hand({**ADMIN, "kid": "own", "jwk": {"kty": "oct", "k": "eA"}}, b"x"),
    "by a key at an address": _by_hand({**ADMIN, "kid": "own", "jku": "https://evil.example/keys"}, b"x"),
    "with the public key as secret": _by_hand({"alg": "HS256", "kid": "2026-07"}, PUBLIC.encode()),
    "with the stripped public key as secret": _by_hand({"alg": "HS256", "kid": "2026-07"}, PUBLIC.strip().encode()),
    "alg none": _by_hand({"alg": "none", "kid": "2027-01", "typ": "JWT"}),
    "alg None": _by_hand({"alg": "None", "kid": "2027-01"}),
    "alg nOnE, of no key": _by_hand({"alg": "nOnE"}),
    "alg of another key": signed(key=PRIVATE, algorithm="EdDSA", kid="2027-01"),
    "without an alg": _by_hand({"kid": "2027-01"}, SECRET.encode()),
    "an alg that is no text": _by_hand({"alg": ["HS256"], "kid": "2027-01"}, SECRET.encode()),
    "critical and unknown": _by_hand({**ADMIN, "crit": ["x"], "x": 1}, SECRET.encode()),
    "another role in a good one": _promoted(),
    "without a signature": token("admin").rpartition(".")[0] + ".",
    "a role that there is not": signed(role="owner"),
    "two roles": signed(role=["student", "admin"]),
    "nobody's": signed(sub=None),
    "a user of control characters": signed(sub="admin\r\nX-Role: admin"),
    "a user of a thousand letters": signed(sub="a" * 1000),
    "claims that are a list": jwt.api_jws.encode(b"[]", SECRET, "HS256", headers={"kid": "2027-01"}),
    "claims that are deep": jwt.api_jws.encode(b"[" * 2000 + b"]" * 2000, SECRET, "HS256", headers={"kid": "2027-01"}),
    "not a token": "admin",
    "dots": "..",
    "nothing": "",
    "very long": "a." * 30_000,
    "no ASCII": "\xff\xfe.\xff.\xff",
}


@pytest.mark.parametrize("name", FORGED)
def test_it_signs_nobody_in(service: Target, name: str) -> None:
    """It is a 401 wherever one has to be signed in, always the same one, and no reason to refuse what is open."""
    headers = {"Authorization": f"Bearer {FORGED[name]}"}
    for method, path, body in (
        ("GET", "/auth/me", None),
        ("POST", "/scholarships", DRAFT),
        ("PATCH", "/scholarships/1", {"amount": 1}),
        ("DELETE", "/scholarships/1", None),
    ):
        answer = service.ask(method, path, body, headers)
        assert (answer.status, answer.json()) == (
            401,
            {
                "error": "http_401",
                "message": "A valid access token is needed",
                "request_id": answer.headers["x-request-id"],
            },
        )
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert service.ask("GET", "/scholarships/1", headers=headers).json()["amount"] > 1


@pytest.mark.parametrize("scheme", ["Basic", "Digest", "Token", "Bearer:", ""])
def test_other_schemes_sign_nobody_in(service: Target, scheme: str) -> None:
    """A good token counts by its scheme alone."""
    assert service.ask("GET", "/auth/me", headers={"Authorization": f"{scheme} {token('admin')}"}).status == 401


@pytest.mark.parametrize("place", ["/auth/me?access_token={0}", "/auth/me?token={0}"])
def test_a_token_in_the_address_signs_nobody_in(service: Target, place: str) -> None:
    """A token in a query is none: addresses are in logs, histories and referrers."""
    assert service.ask("GET", place.format(token("admin"))).status == 401


def test_a_token_in_a_cookie_signs_nobody_in(service: Target) -> None:
    """What a browser sends by itself does not sign in, so that no other page can write by its user."""
    for name in ("access_token", "Authorization", "token"):
        assert service.ask("GET", "/auth/me", headers={"Cookie": f"{name}={token('admin')}"}).status == 401


def test_good_tokens_of_both_keys_sign_in(service: Target) -> None:
    """What all of these are variations of is good, by the key that signs and by the older one."""
    for good in (token("admin"), signed(), signed(key=PRIVATE, algorithm="EdDSA", kid="2026-07")):
        answer = service.ask("GET", "/auth/me", headers={"Authorization": f"Bearer {good}"})
        assert (answer.status, answer.json()) == (200, {"username": "admin", "role": "admin"})
