"""Making, changing and deleting scholarships: for those who are signed in as an admin or a partner."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from scholarships.auth.access import Writer
from scholarships.bodies import BodyRoute
from scholarships.drafts import ScholarshipChanges, ScholarshipDraft
from scholarships.routes.responses import FORBIDDEN, NOT_FOUND, TOO_LARGE, UNAUTHORIZED, UNAVAILABLE
from scholarships.routes.scholarships import Id
from scholarships.schemas import ScholarshipOut
from scholarships.services.ownership import OwnedScholarships
from scholarships.telemetry import Telemetry


def _owned(request: Request) -> OwnedScholarships:
    owned: OwnedScholarships = request.app.state.owned_scholarships
    return owned


Owned = Annotated[OwnedScholarships, Depends(_owned)]


def routes(telemetry: Telemetry) -> APIRouter:
    """Return the routes that write."""
    router = APIRouter(
        prefix="/scholarships",
        tags=["writing"],
        responses=UNAUTHORIZED | FORBIDDEN | UNAVAILABLE,
        route_class=BodyRoute,
        dependencies=[telemetry.limited("write")],
    )
    recorded = telemetry.recorded

    @router.post(
        "",
        status_code=201,
        summary="Make a scholarship",
        responses=TOO_LARGE,
        dependencies=[recorded("create_scholarship")],
    )
    async def create_scholarship(
        draft: ScholarshipDraft, who: Writer, owned: Owned, request: Request, response: Response
    ) -> ScholarshipOut:
        """A new scholarship, which belongs to whoever made it; `Location` says where it is."""
        made = await owned.create(draft, who)
        telemetry.interactions.about(made.id)
        # Relative (RFC 9110, section 10.2.2): the `Host` that a request came with may be anything.
        response.headers["Location"] = f"{request.scope.get('root_path', '')}/scholarships/{made.id}"
        return ScholarshipOut.model_validate(made)

    @router.patch(
        "/{id}",
        summary="Change a scholarship",
        responses=NOT_FOUND | TOO_LARGE,
        dependencies=[recorded("update_scholarship", subject="id")],
    )
    async def update_scholarship(id: Id, changes: ScholarshipChanges, who: Writer, owned: Owned) -> ScholarshipOut:
        """The scholarship after the change. What was not given stays; of two changes at once the later one wins."""
        return ScholarshipOut.model_validate(await owned.change(id, changes, who))

    @router.delete(
        "/{id}",
        status_code=204,
        response_model=None,
        summary="Delete a scholarship",
        responses=NOT_FOUND,
        dependencies=[recorded("delete_scholarship", subject="id")],
    )
    async def delete_scholarship(id: Id, who: Writer, owned: Owned) -> None:
        """Nothing: it is gone, and its number is given to no other."""
        await owned.remove(id, who)

    return router
