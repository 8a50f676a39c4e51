"""Listing, reading and searching scholarships: open to everybody."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request

from scholarships.bodies import BodyRoute
from scholarships.filters import ListQuery, SearchBody
from scholarships.repository import Scholarships
from scholarships.routes.responses import NOT_FOUND, TOO_LARGE, UNAVAILABLE
from scholarships.schemas import HIGHEST_INTEGER, ScholarshipHit, ScholarshipHits, ScholarshipOut, ScholarshipPage
from scholarships.telemetry import Telemetry


def _repository(request: Request) -> Scholarships:
    repository: Scholarships = request.app.state.scholarships
    return repository


Repository = Annotated[Scholarships, Depends(_repository)]
Id = Annotated[int, Path(ge=1, le=HIGHEST_INTEGER)]


def routes(telemetry: Telemetry) -> APIRouter:
    """Return the routes that read."""
    router = APIRouter(tags=["scholarships"], responses=UNAVAILABLE, route_class=BodyRoute)
    recorded, limited = telemetry.recorded, telemetry.limited

    @router.get("/scholarships", summary="List scholarships", dependencies=[recorded("list_scholarships")])
    async def list_scholarships(wanted: Annotated[ListQuery, Query()], repository: Repository) -> ScholarshipPage:
        """Scholarships that pass all filters, in the order asked for."""
        rows, total = await repository.page(wanted)
        items = [ScholarshipOut.model_validate(row) for row in rows]
        return ScholarshipPage(items=items, total=total, limit=wanted.limit, offset=wanted.offset)

    @router.get(
        "/scholarships/{id}",
        summary="Read a scholarship",
        responses=NOT_FOUND,
        dependencies=[recorded("view_scholarship", subject="id")],
    )
    async def view_scholarship(id: Id, repository: Repository) -> ScholarshipOut:
        """One scholarship, by its number."""
        row = await repository.get(id)
        if row is None:
            raise HTTPException(404)
        return ScholarshipOut.model_validate(row)

    @router.post(
        "/search",
        summary="Search scholarships",
        responses=TOO_LARGE,
        dependencies=[limited("search"), recorded("search_scholarships")],
    )
    async def search_scholarships(wanted: SearchBody, repository: Repository) -> ScholarshipHits:
        """Scholarships that pass all filters and have every word of `query`, the best first.

        Inflections count as the same word. Without a word to search for, everything that passes the filters is found.
        """
        telemetry.interactions.add(**wanted.model_dump(mode="json", exclude_unset=True))
        found, total = await repository.search(wanted)
        items = [
            ScholarshipHit(**ScholarshipOut.model_validate(hit.scholarship).model_dump(), score=hit.score)
            for hit in found
        ]
        return ScholarshipHits(items=items, total=total, limit=wanted.limit, offset=wanted.offset)

    return router
