"""Signing in, and telling who is signed in."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from scholarships.auth.access import SignedIn
from scholarships.routes.responses import BUSY, TOO_LARGE, UNAUTHORIZED, WRONG_PASSWORD
from scholarships.schemas import AccessToken, Me
from scholarships.services.sign_in import SignIn
from scholarships.telemetry import Telemetry


class Credentials(BaseModel):
    """The password form of OAuth 2 (RFC 6749, section 4.3.2); what else such a form has is ignored."""

    model_config = ConfigDict(hide_input_in_errors=True)

    grant_type: Literal["password"] | None = None
    username: Annotated[str, Field(max_length=100, pattern=r"^[^\x00]*$")]
    password: Annotated[str, Field(max_length=1_000, json_schema_extra={"format": "password"})]


def routes(telemetry: Telemetry) -> APIRouter:
    """Return the routes of signing in."""
    router = APIRouter(prefix="/auth", tags=["signing in"])

    @router.post(
        "/token",
        summary="Sign in",
        responses=WRONG_PASSWORD | TOO_LARGE | BUSY,
        dependencies=[telemetry.limited("auth"), telemetry.recorded("login")],
    )
    async def login(form: Annotated[Credentials, Form()], request: Request, response: Response) -> AccessToken:
        """An access token for a username and a password."""
        service: SignIn = request.app.state.sign_in
        issued = await service.sign_in(form.username, form.password)
        response.headers["Cache-Control"] = "no-store"  # RFC 6749, section 5.1
        return AccessToken(access_token=issued.token, expires_in=issued.expires_in)

    @router.get("/me", summary="Tell who is signed in", responses=UNAUTHORIZED)
    async def me(who: SignedIn) -> Me:
        """Whom the token speaks for."""
        return Me(username=who.username, role=who.role)

    return router
