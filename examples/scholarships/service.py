"""Puts the service together: configuration in, application out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from scholarships import __version__
from scholarships.auth.identity import IdentityMiddleware
from scholarships.auth.passwords import Passwords
from scholarships.auth.tokens import make_tokens
from scholarships.bodies import BodyLimitMiddleware
from scholarships.config import Config
from scholarships.database import Database
from scholarships.repository import Scholarships
from scholarships.routes import interactions, root, scholarships, signing_in, writing
from scholarships.services.interaction_service import RecordedInteractions
from scholarships.services.ownership import OwnedScholarships
from scholarships.services.sign_in import SignIn
from scholarships.startup import prepare
from scholarships.telemetry import RATE_LIMIT_HEADERS, Telemetry
from scholarships.users import Users

DESCRIPTION = """
Find scholarships by filters, or search them by text.

Every answer carries `X-Request-ID`; errors have one shape, `{"error", "message", "request_id"}`.
"""


def create_app(config: Config | None = None) -> FastAPI:
    """Return the application; nothing is connected before it starts."""
    config = config or Config()
    database = Database(config.database_url)
    passwords = Passwords()
    tokens = make_tokens(config)
    telemetry = Telemetry(config, database)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        try:
            await prepare(config, database, passwords)
            yield
        finally:
            passwords.close()
            await telemetry.close()
            await database.close()

    app = FastAPI(title="Scholarship API", version=__version__, description=DESCRIPTION, lifespan=lifespan)
    app.state.config = config
    app.state.telemetry = telemetry
    app.state.scholarships = Scholarships(database)
    app.state.owned_scholarships = OwnedScholarships(app.state.scholarships)
    app.state.recorded_interactions = RecordedInteractions(telemetry.interactions)
    app.state.sign_in = SignIn(Users(database), passwords, tokens)
    for each in (root, scholarships, writing, signing_in, interactions):
        app.include_router(each.routes(telemetry))
    # The last one added is the first to be called.
    app.add_middleware(BodyLimitMiddleware)
    app.add_middleware(IdentityMiddleware, tokens=tokens)
    if config.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=config.cors_origins,
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "X-Request-ID", "traceparent", "tracestate"],
            expose_headers=["X-Request-ID", "Location", *RATE_LIMIT_HEADERS],
        )
    telemetry.observe(app)
    return app
