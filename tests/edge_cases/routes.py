"""Endpoints to be routed to, and the endpoint label that a request got."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from starlette.responses import PlainTextResponse

from tests.drive import ask, requests


async def page(request: Request) -> PlainTextResponse:
    return PlainTextResponse("page")


async def item(item_id: str) -> str:
    return item_id


async def endpoint(app: Any, path: str, *, method: str = "GET", status: int = 200, **options: Any) -> str:
    """Ask once; return the endpoint that the one new sample names, and check its method and status."""
    before = await requests(app)
    answer = await ask(app, method, path, **options)
    after = await requests(app)
    assert answer.status == status, (answer.status, answer.body)
    ((key, _),) = {key: value for key, value in after.items() if value != before.get(key)}.items()
    assert key[0] == method
    assert key[2] == str(status)
    return key[1]
