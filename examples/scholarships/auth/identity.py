"""Reads who calls from the token, before anything else: so the log and the interactions of every answer say it."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

import belvedere
from scholarships.auth.tokens import Identity, InvalidTokenError, Tokens

IDENTITY = "scholarships.identity"
"""Where the scope keeps the caller's `Identity`; `None` without a token, and with one that proves nothing."""
PRESENTED = "scholarships.presented"
"""Whether there was a token at all."""


class IdentityMiddleware:
    """Puts the caller's identity into the scope and binds it as `user_id`; refuses nobody.

    What is open is open to everybody: a token that expired in a browser's tab does not close the search to its user.
    """

    def __init__(self, app: ASGIApp, tokens: Tokens) -> None:
        self._app = app
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            token = _bearer(Headers(scope=scope))
            scope[PRESENTED] = token is not None
            scope[IDENTITY] = None if token is None else self._identify(token)
        await self._app(scope, receive, send)

    def _identify(self, token: str) -> Identity | None:
        try:
            identity = self._tokens.read(token)
        except InvalidTokenError:
            return None
        belvedere.bind(user_id=identity.sub)
        return identity


def _bearer(headers: Headers) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
