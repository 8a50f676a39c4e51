"""Bodies that are too large, and pages of other origins."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import URL

from scholarships.bodies import LARGEST_BODY
from scholarships.config import Config
from tests.drive import Exchange
from tests.examples.scholarships.identities import FREELY, bearer
from tests.examples.scholarships.serving import calling, served

JSON = (b"content-type", b"application/json")
ORIGIN = "https://www.example.org"
FORM, PARTS = "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"
BEGINNINGS = {FORM: b"username=", PARTS: b'--x\r\nContent-Disposition: form-data; name="username"\r\n\r\n'}
EXPOSED = {"X-Request-ID", "Location", "RateLimit", "RateLimit-Policy", "Retry-After"}


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("POST", "/search", "application/json"),
        ("POST", "/scholarships", "application/json"),
        ("PATCH", "/scholarships/1", "application/json"),
        ("POST", "/auth/token", FORM),
        ("POST", "/auth/token", PARTS),
    ],
)
@pytest.mark.parametrize("told", [True, False])
async def test_too_large(client: httpx.AsyncClient, method: str, path: str, kind: str, told: bool) -> None:
    """A body of 10 MB is a 413 in the shape of all errors, whether or not its length was told."""

    async def chunks() -> AsyncIterator[bytes]:
        yield BEGINNINGS.get(kind, b"")
        for _ in range(160):
            yield b"x" * 65_536

    headers = {"Content-Type": kind, **bearer("admin")}
    content = b"x" * 10_485_760 if told else chunks()
    answer = await client.request(method, path, content=content, headers=headers)
    assert answer.status_code == 413
    assert answer.json() == {
        "error": "http_413",
        "message": "Content Too Large",
        "request_id": answer.headers["X-Request-ID"],
    }


async def test_not_read(app: FastAPI) -> None:
    """Nothing is read of a body whose length is too large, and no more than the limit of one that does not tell."""
    told = Exchange(
        app, "POST", "/search", headers=[JSON, (b"content-length", b"10485760")], body=[b"x" * 65_536] * 160
    )
    assert (await told.run()).status == 413
    assert len(told._chunks) == 160
    untold = Exchange(app, "POST", "/search", headers=[JSON], body=[b"x" * 65_536] * 160)
    assert (await untold.run()).status == 413
    assert len(untold._chunks) == 158


@pytest.mark.parametrize(("length", "status"), [(b"9" * 30, 413), (b"nonsense", 200), ("²".encode("latin-1"), 200)])
async def test_strange_lengths(app: FastAPI, length: bytes, status: int) -> None:
    """A length that no server would let through breaks nothing."""
    exchange = Exchange(app, "POST", "/search", headers=[JSON, (b"content-length", length)], body=b"{}")
    assert (await exchange.run()).status == status


async def test_unreadable(client: httpx.AsyncClient) -> None:
    """What cannot be read as JSON is a 422 in the shape of all, whatever keeps it from being read."""
    digits = b"9" * 5_000  # Python reads numbers of 4,300 digits
    for body in (b"{", b"\xff", b'{"query": "\xff"}', b"[" * 30_000, b'{"limit": %b}' % digits, b'{"x": -%b}' % digits):
        for method, path in (("POST", "/search"), ("POST", "/scholarships"), ("PATCH", "/scholarships/1")):
            headers = {"Content-Type": "application/json", **bearer("admin")}
            answer = await client.request(method, path, content=body, headers=headers)
            assert (answer.status_code, answer.json()["error"]) == (422, "validation_error"), (body[:20], path)


async def test_largest(client: httpx.AsyncClient) -> None:
    """A body of the limit is read."""
    body = json.dumps({"query": "climate"}).encode()
    for length, status in ((LARGEST_BODY, 200), (LARGEST_BODY + 1, 413)):
        answer = await client.post("/search", content=body.ljust(length), headers={"Content-Type": "application/json"})
        assert answer.status_code == status


async def test_cors(sample_url: URL) -> None:
    """Pages of the origins that are named may call with a token, and read ids, places and limits; no other may."""
    config = Config(database_url=sample_url, cors_origins=ORIGIN, **FREELY)
    async with served(config) as app, calling(app) as client:
        asked = {
            "Access-Control-Request-Method": "PATCH",
            "Access-Control-Request-Headers": "authorization,content-type",
        }
        preflight = await client.options("/scholarships/1", headers={"Origin": ORIGIN, **asked})
        assert preflight.status_code == 200
        assert preflight.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert "PATCH" in preflight.headers["Access-Control-Allow-Methods"]
        assert "authorization" in preflight.headers["Access-Control-Allow-Headers"].lower()
        for path in ("/scholarships/1", "/scholarships/99", "/auth/me"):
            answer = await client.get(path, headers={"Origin": ORIGIN})
            assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
            assert set(answer.headers["Access-Control-Expose-Headers"].split(", ")) == EXPOSED
            assert "Access-Control-Allow-Credentials" not in answer.headers
        other = await client.get("/scholarships/1", headers={"Origin": "https://evil.example"})
        assert "Access-Control-Allow-Origin" not in other.headers
        refused = await client.options("/scholarships/1", headers={"Origin": "https://evil.example", **asked})
        assert refused.status_code == 400
        assert "Access-Control-Allow-Origin" not in refused.headers


async def test_cors_of_failures(sample_url: URL) -> None:
    """A page that may read answers may read the 500 of a mistake too, and its id."""
    config = Config(database_url=sample_url, cors_origins=ORIGIN, **FREELY)
    async with served(config) as app, calling(app, raise_app_exceptions=False) as client:
        del app.state.scholarships
        answer = await client.get("/scholarships/1", headers={"Origin": ORIGIN, "X-Request-ID": "lost-1"})
    assert answer.status_code == 500
    assert answer.json()["request_id"] == "lost-1"
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "X-Request-ID" in answer.headers["Access-Control-Expose-Headers"]


async def test_without_cors(client: httpx.AsyncClient) -> None:
    """Without `CORS_ORIGINS` no page of another origin may read anything."""
    answer = await client.get("/scholarships/1", headers={"Origin": ORIGIN})
    assert "Access-Control-Allow-Origin" not in answer.headers
