from __future__ import annotations

from typing import Any

import httpx
from fastapi import FastAPI, Response

from belvedere.asgi import Attachment, Plan
from belvedere.headers import response_headers
from belvedere.settings import Settings

DEFAULTS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "strict-origin-when-cross-origin",
    "cross-origin-opener-policy": "same-origin",
}
HSTS = {"strict-transport-security": "max-age=31536000; includeSubDomains"}


async def ask(url: str, settings: Settings, **headers: str) -> dict[str, str]:
    """Return the security headers of an answer to which the application adds `headers`."""
    app = FastAPI()

    @app.get("/")
    async def root(response: Response) -> None:
        response.headers.update(headers)

    plan = Plan()
    plan.set_headers(*response_headers(settings))
    attachment = Attachment(app, plan, {})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        response = await client.get(url)
    attachment.remove()
    own = {"content-length", "content-type", "x-request-id"}
    return {name: value for name, value in response.headers.multi_items() if name not in own}


async def test_the_defaults_over_http() -> None:
    """Over plain HTTP every response has the default headers, without HSTS."""
    assert await ask("http://shop.test/", Settings()) == DEFAULTS


async def test_the_defaults_over_https() -> None:
    """Over HTTPS, HSTS comes with them."""
    assert await ask("https://shop.test/", Settings()) == {**DEFAULTS, **HSTS}


async def test_errors_have_them_too() -> None:
    """A 404 has the same headers."""
    assert await ask("http://shop.test/nowhere", Settings()) == DEFAULTS


async def test_the_applications_own_header_wins() -> None:
    """A header that the application sets itself is neither replaced nor doubled."""
    found = await ask("http://shop.test/", Settings(), **{"X-Frame-Options": "SAMEORIGIN"})
    assert found == {**DEFAULTS, "x-frame-options": "SAMEORIGIN"}


async def test_the_applications_headers_may_be_read_only_once() -> None:
    """ASGI takes any iterable for headers: those of a generator all arrive, beside ours."""
    app = FastAPI()

    async def raw(scope: Any, receive: Any, send: Any) -> None:
        own = ((name, b"1") for name in (b"x-own", b"x-frame-options"))
        await send({"type": "http.response.start", "status": 200, "headers": own})
        await send({"type": "http.response.body"})

    app.mount("/raw", raw)
    plan = Plan()
    plan.set_headers(*response_headers(Settings()))
    attachment = Attachment(app, plan, {})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        response = await client.get("http://shop.test/raw/")
    attachment.remove()
    del response.headers["x-request-id"]
    assert dict(response.headers) == {**DEFAULTS, "x-own": "1", "x-frame-options": "1"}


async def test_each_one_is_a_setting() -> None:
    """Every header can be set to another value, left out, or added."""
    chosen: dict[str, Any] = {
        "hsts": None,
        "content_type_options": None,
        "frame_options": "SAMEORIGIN",
        "referrer_policy": None,
        "cross_origin_opener_policy": None,
        "content_security_policy": "default-src 'self'",
        "permissions_policy": "camera=()",
    }
    assert await ask("https://shop.test/", Settings(headers=chosen)) == {
        "x-frame-options": "SAMEORIGIN",
        "content-security-policy": "default-src 'self'",
        "permissions-policy": "camera=()",
    }


def test_switched_off_there_are_none() -> None:
    """With headers off, nothing is sent over either."""
    assert response_headers(Settings(headers=None)) == ([], [])


async def test_the_documentation_pages_load_what_they_need() -> None:
    """By default no policy keeps /docs from its scripts, which come from another host."""
    headers = await ask("https://shop.test/docs", Settings())
    assert "content-security-policy" not in headers
