"""Reading who did what: for those who are signed in as an admin."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from scholarships.auth.access import has_role
from scholarships.interaction_filters import InteractionQuery, SummaryQuery
from scholarships.routes.responses import FORBIDDEN, NO_PAGE, UNAUTHORIZED, UNAVAILABLE
from scholarships.schemas import InteractionPage, InteractionSummary, Role
from scholarships.services.interaction_service import RecordedInteractions
from scholarships.telemetry import Telemetry


def _recorded(request: Request) -> RecordedInteractions:
    recorded: RecordedInteractions = request.app.state.recorded_interactions
    return recorded


Recorded = Annotated[RecordedInteractions, Depends(_recorded)]


def routes(_telemetry: Telemetry) -> APIRouter:
    """Return the routes that read interactions; reading them is none itself."""
    router = APIRouter(
        prefix="/interactions",
        tags=["interactions"],
        responses=UNAUTHORIZED | FORBIDDEN | UNAVAILABLE,
        dependencies=[Depends(has_role(Role.ADMIN))],
    )

    @router.get("", summary="List interactions", responses=NO_PAGE)
    async def list_interactions(wanted: Annotated[InteractionQuery, Query()], recorded: Recorded) -> InteractionPage:
        """Interactions that pass all filters, the newest first; `next` goes into `after` for the page that follows."""
        return await recorded.page(wanted)

    @router.get("/summary", summary="Count interactions")
    async def summarise_interactions(
        wanted: Annotated[SummaryQuery, Query()], recorded: Recorded
    ) -> InteractionSummary:
        """How many interactions of each event pass all filters, and how they were answered."""
        return await recorded.summary(wanted)

    return router
