"""What a body may be: of a size with a limit, and JSON that can be read; errors of both have the shape of all."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_BODY = 64 * 1024
"""Bytes; the largest that makes sense, a scholarship with a long description, has about 20,000."""


class BodyLimitMiddleware:
    """Raises a 413 to whoever reads a body above a limit: at once where its length was told, else at the limit."""

    def __init__(self, app: ASGIApp, limit: int = LARGEST_BODY) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        told = Headers(scope=scope).get("content-length", "")
        too_large = len(told) > 9 or (told.isdecimal() and int(told) > self._limit)
        size = 0

        async def limited() -> Message:
            nonlocal size
            if not too_large:
                message = await receive()
                size += len(message.get("body", b""))
                if size <= self._limit:
                    return message
            # Raised inside of the application, so that its handlers answer, and log and metrics tell of it.
            raise HTTPException(413, "Content Too Large")

        await self._app(scope, limited, send)


class BodyRoute(APIRoute):
    """A route for which a body that cannot be read is invalid as any other that is no JSON.

    It may be no text, too deep, or have a number of more digits than Python reads.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_readable(request: Request) -> Response:
            try:
                return await handle(request)
            except HTTPException as error:
                # FastAPI makes all of these a 400 without a place or a reason.
                if isinstance(error.__cause__, RecursionError | ValueError):
                    problem = {"type": "json_invalid", "loc": ("body", 0), "msg": "JSON decode error", "input": {}}
                    raise RequestValidationError([problem]) from error
                raise

        return handle_readable
