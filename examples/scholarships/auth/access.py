"""What routes ask of whoever calls: to be signed in, or to have a role."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, HTTPException, Request
from fastapi.security import OAuth2PasswordBearer

from scholarships.auth.identity import IDENTITY, PRESENTED
from scholarships.auth.tokens import Identity
from scholarships.schemas import Role

# For the documentation alone, with its button to sign in: the token has been read already.
_documented = OAuth2PasswordBearer(tokenUrl="auth/token", auto_error=False, description="From `POST /auth/token`.")


class UnauthorizedError(HTTPException):
    """Nobody is signed in: one message for whatever is wrong, so that a forger learns nothing from it."""

    def __init__(self, *, presented: bool) -> None:
        challenge = 'Bearer error="invalid_token"' if presented else "Bearer"  # RFC 6750, section 3
        super().__init__(401, "A valid access token is needed", headers={"WWW-Authenticate": challenge})


def signed_in(request: Request, _token: Annotated[str | None, Depends(_documented)]) -> Identity:
    """Return who calls; anybody without a valid token gets a 401."""
    identity: Identity | None = request.scope[IDENTITY]
    if identity is None:
        raise UnauthorizedError(presented=request.scope[PRESENTED])
    return identity


def has_role(*roles: Role) -> Callable[[Identity], Identity]:
    """Return a dependency: who calls, with one of these roles; anybody else gets a 403."""

    def check(identity: Annotated[Identity, Depends(signed_in)]) -> Identity:
        if identity.role not in roles:
            raise HTTPException(403)
        return identity

    return check


SignedIn = Annotated[Identity, Depends(signed_in)]
Writer = Annotated[Identity, Depends(has_role(Role.ADMIN, Role.PARTNER))]
