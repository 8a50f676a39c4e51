"""The application that every variant wraps, and the request that every variant answers."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from fastapi import APIRouter, FastAPI
from pydantic import BaseModel

PREFIX = "/api/v1/scholarships/"

HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"host", b"api.example.org"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    (b"accept", b"application/json, text/plain, */*"),
    (b"accept-language", b"en-GB,en;q=0.7,fr;q=0.3"),
    (b"accept-encoding", b"gzip, deflate, br"),
    (b"x-forwarded-for", b"203.0.113.9"),
    (b"x-forwarded-proto", b"https"),
    (b"x-real-ip", b"203.0.113.9"),
    (b"connection", b"keep-alive"),
)
"""A browser's request as a proxy hands it on: nine headers, no request id and no trace context of the caller."""


class Scholarship(BaseModel):
    """The body of the answer."""

    id: int
    title: str
    country: str
    amount: float


def application(**options: Any) -> FastAPI:
    """A small FastAPI application: one JSON endpoint with a path parameter, behind an included router."""
    router = APIRouter(prefix="/scholarships")

    @router.get("")
    async def list_scholarships() -> list[Scholarship]:
        return []

    @router.get("/{scholarship_id}")
    async def read_scholarship(scholarship_id: int) -> Scholarship:
        return Scholarship(id=scholarship_id, title="Chevening", country="United Kingdom", amount=18000.0)

    app = FastAPI(title="Benchmark", version="1.0.0", **options)
    app.include_router(router, prefix="/api/v1")
    return app


def scope(number: int) -> MutableMapping[str, Any]:
    """A fresh ASGI scope of the request for that scholarship, shaped as uvicorn's."""
    path = f"{PREFIX}{number}"
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 51514),
        "scheme": "http",
        "root_path": "",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": list(HEADERS),
        "state": {},
    }


def request_bytes(port: int, number: int) -> bytes:
    """The same request on the wire, for the load over sockets."""
    lines = [f"GET {PREFIX}{number} HTTP/1.1".encode()]
    for name, value in HEADERS:
        lines.append(name + b": " + (f"127.0.0.1:{port}".encode() if name == b"host" else value))
    return b"\r\n".join(lines) + b"\r\n\r\n"
