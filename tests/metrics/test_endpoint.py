"""The scrape's endpoint: who may read it, how it answers."""

from __future__ import annotations

import gzip
import hmac
from typing import Any

import pytest
from fastapi import FastAPI

import belvedere
from tests.drive import ask
from tests.metrics.conftest import Observe
from tests.metrics.scraping import TEXT, scrape


async def test_a_scrape_is_never_cached(observe: Observe) -> None:
    """It says its type, its length and what it depends on, and has id and security headers as every answer."""
    app = FastAPI()
    observe(app)
    answer = await ask(app, "GET", "/metrics", headers=[(b"x-request-id", b"scrape-1")])
    assert answer.status == 200
    assert answer.headers == [
        ("content-type", TEXT),
        ("content-length", str(len(answer.body))),
        ("cache-control", "no-store"),
        ("vary", "Accept, Accept-Encoding"),
        ("x-request-id", "scrape-1"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "strict-origin-when-cross-origin"),
        ("cross-origin-opener-policy", "same-origin"),
    ]


async def test_head_is_the_answer_without_its_body(observe: Observe) -> None:
    """Type and length are told, bytes are none."""
    app = FastAPI()
    observe(app)
    answer = await ask(app, "HEAD", "/metrics")
    assert (answer.status, answer.body, answer.all("content-type")) == (200, b"", [TEXT])
    assert int(answer.all("content-length")[0]) > 1000


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_other_methods_are_the_applications(method: str, observe: Observe) -> None:
    """Nothing but GET and HEAD is answered here."""
    app = FastAPI()
    observe(app)
    assert (await ask(app, method, "/metrics")).status == 404


@pytest.mark.parametrize(
    ("encoding", "squeezed"),
    [
        (b"gzip", True),
        (b"deflate, GZIP;q=0.5", True),
        (b"br, zstd", False),
        (b"", False),
        (b"gzip;q=0", False),
        (b"gzip;q=0.0, identity", False),
        (b"xgzip", False),
    ],
)
async def test_a_scrape_is_compressed_for_whoever_takes_gzip(encoding: bytes, squeezed: bool, observe: Observe) -> None:
    """The bytes unpack to what is served plainly, and the length is that of what is sent."""
    app = FastAPI()
    observe(app)
    belvedere.counter("jobs", "Jobs.").inc()
    answer = await ask(app, "GET", "/metrics", headers=[(b"accept-encoding", encoding)])
    assert answer.all("content-encoding") == (["gzip"] if squeezed else [])
    assert answer.all("content-length") == [str(len(answer.body))]
    text = gzip.decompress(answer.body) if squeezed else answer.body
    assert b"\njobs_total 1.0\n" in text


async def test_metrics_have_the_path_of_the_settings(observe: Observe) -> None:
    """Elsewhere there is nothing, and below a root path they are found as routes are."""
    app = FastAPI()
    observe(app, metrics={"path": "/metrics/metrics"})
    await scrape(app, path="/metrics/metrics")
    assert (await ask(app, "GET", "/metrics")).status == 404
    assert (await ask(app, "GET", "/api/metrics/metrics", root_path="/api")).status == 200


async def test_metrics_switched_off_are_not_there(observe: Observe) -> None:
    """Neither the path nor the counting."""
    app = FastAPI()
    observability = observe(app, metrics=None)
    assert (await ask(app, "GET", "/metrics")).status == 404
    assert observability.report()["metrics"] == {"state": "off", "why": "switched off by the settings"}
    assert observability.catalogue()["metrics"] == []


async def test_a_route_of_the_applications_own_comes_first(observe: Observe) -> None:
    """The path yields to it, and the report says so."""
    app = FastAPI()

    @app.get("/metrics")
    async def metrics() -> str:
        return "mine"

    observability = observe(app)
    answer = await ask(app, "GET", "/metrics")
    assert answer.json() == "mine"
    why = observability.report()["metrics"]["why"]
    assert why == "not served at /metrics: the application has a route of its own there"


async def test_metrics_are_not_in_the_schema(observe: Observe) -> None:
    """The OpenAPI document knows nothing of them."""
    app = FastAPI()
    observe(app)
    assert (await ask(app, "GET", "/openapi.json")).json()["paths"] == {}


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ([], 401),
        ([b""], 401),
        ([b"Bearer s3cret"], 200),
        ([b"bearer s3cret"], 200),
        ([b"Bearer " + b"s3cret" * 10_000], 401),
        ([b"Bearer s3cre"], 401),
        ([b"Bearer s3crets"], 401),
        ([b"Bearer  s3cret"], 401),
        ([b"s3cret"], 401),
        ([b"Basic s3cret"], 401),
        ([b"Bearer s3cr\xe9t"], 401),
        ([b"Bearer wrong", b"Bearer s3cret"], 401),
        ([b"Bearer s3cret", b"Bearer wrong"], 401),
    ],
)
async def test_a_token_has_to_be_shown(authorization: list[bytes], status: int, observe: Observe) -> None:
    """Anything but exactly the token is refused, saying how to do better and showing no metric."""
    app = FastAPI()
    observe(app, metrics={"token": "s3cret"})
    answer = await ask(app, "GET", "/metrics", headers=[(b"authorization", value) for value in authorization])
    assert answer.status == status
    if status == 401:
        assert answer.body == b"Unauthorized\n"
        assert answer.all("www-authenticate") == ["Bearer"]
        assert answer.all("cache-control") == ["no-store"]


async def test_the_token_is_compared_in_constant_time(observe: Observe, monkeypatch: pytest.MonkeyPatch) -> None:
    """How much of a guess was right cannot be told from the time the refusal takes."""
    compared: list[tuple[Any, Any]] = []

    def compare(a: Any, b: Any) -> bool:
        compared.append((a, b))
        return original(a, b)

    original = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", compare)
    app = FastAPI()
    observe(app, metrics={"token": "gehäim"})
    answer = await ask(app, "GET", "/metrics", headers=[(b"authorization", "Bearer gehäim".encode())])
    assert answer.status == 200
    assert compared == [("Bearer gehäim".encode(), "Bearer gehäim".encode())]


def test_the_token_is_shown_nowhere() -> None:
    """Not in the settings' text either."""
    assert "s3cret" not in repr(belvedere.Settings(metrics={"token": "s3cret"}))


@pytest.mark.parametrize(
    ("client", "forwarded", "status"),
    [
        ("10.1.2.3", None, 200),
        ("::ffff:10.1.2.3", None, 200),
        ("2001:db8::7", None, 200),
        ("192.0.2.1", None, 403),
        ("2001:db9::7", None, 403),
        (None, None, 403),
        ("testclient", None, 403),
        ("192.0.2.1", b"10.1.2.3", 403),
        ("172.16.0.1", b"10.1.2.3", 200),
        ("172.16.0.1", b"192.0.2.1", 403),
        ("172.16.0.1", b"10.1.2.3, 192.0.2.1", 403),
        ("172.16.0.1", b"192.0.2.1, 10.1.2.3, 172.16.0.2", 200),
        ("172.16.0.1", b"10.1.2.3, nonsense", 403),
        ("172.16.0.1", None, 403),
    ],
)
async def test_only_allowed_networks_may_scrape(
    client: str | None, forwarded: bytes | None, status: int, observe: Observe
) -> None:
    """The connection's address counts; behind trusted proxies the nearest hop that is not one of them."""
    app = FastAPI()
    observe(
        app,
        metrics={"allow": ["10.0.0.0/8", "2001:db8::/32"]},
        requests={"trusted_proxies": ["172.16.0.0/12"]},
    )
    headers = [] if forwarded is None else [(b"x-forwarded-for", forwarded)]
    answer = await ask(app, "GET", "/metrics", headers=headers, client=None if client is None else (client, 50_000))
    assert answer.status == status
    if status == 403:
        assert answer.body == b"Forbidden\n"


async def test_an_allowed_address_still_has_to_show_the_token(observe: Observe) -> None:
    """Both conditions hold where both are set; the address is looked at first."""
    app = FastAPI()
    observe(app, metrics={"allow": ["10.0.0.1"], "token": "s3cret"})
    token = [(b"authorization", b"Bearer s3cret")]
    inside, outside = ("10.0.0.1", 1), ("10.0.0.2", 1)
    statuses = [
        (await ask(app, "GET", "/metrics", headers=headers, client=client)).status
        for client in (inside, outside)
        for headers in (token, [])
    ]
    assert statuses == [200, 401, 403, 403]
