"""Interactions: recording one by hand, and reading what was recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from fastapi import HTTPException, Request, Response

import belvedere
from belvedere import Interactions
from belvedere.interactions import Unavailable
from scholarships.database import DatabaseUnavailableError
from scholarships.interaction_filters import InteractionQuery, SummaryQuery
from scholarships.schemas import InteractionOut, InteractionPage, InteractionSummary, InteractionSummaryRow

log = belvedere.get_logger(__name__)


async def log_interaction(  # noqa: PLR0917 - as the contract has it
    event_type: str,
    request: Request,
    response: Response | None,
    user_id: str | None = None,
    scholarship_id: int | None = None,
    metadata: Mapping[str, Any] | None = None,
    trace_id: str | None = None,
) -> None:
    """Record an interaction that no route is marked with; never raises.

    Args:
        event_type: what happened.
        request: path, method, and whatever else is not given here.
        response: the status.
        user_id: who; by default whoever is signed in.
        scholarship_id: which scholarship, if any.
        metadata: what else is worth knowing; what is personal or secret is taken out.
        trace_id: by default the request's.
    """
    try:
        interactions: Interactions = request.app.state.telemetry.interactions
        await interactions.log(
            event_type,
            request,
            response,
            user_id=user_id,
            subject=scholarship_id,
            metadata=metadata,
            trace_id=trace_id,
        )
    except Exception as error:  # a request of another application, or none at all
        log.warning("interaction_not_recorded", event_type=str(event_type), reason=type(error).__name__)


class RecordedInteractions:
    """Reads interactions.

    Each method raises `DatabaseUnavailableError` when the database cannot be asked.
    """

    def __init__(self, interactions: Interactions) -> None:
        self._interactions = interactions

    async def page(self, wanted: InteractionQuery) -> InteractionPage:
        """Return a page of those that pass the filters, the newest first.

        Raises:
            HTTPException: a 404, where `after` is no `next` of a page.
        """
        try:
            page = await self._interactions.query(**wanted.filters(), limit=wanted.limit, after=wanted.after)
        except Unavailable as error:
            raise DatabaseUnavailableError from error
        except ValueError as error:
            raise HTTPException(404, "There is no such page: after takes the next of another") from error
        return InteractionPage(items=[InteractionOut.model_validate(row) for row in page.items], next=page.next)

    async def summary(self, wanted: SummaryQuery) -> InteractionSummary:
        """Return how many there were of each event, in each stretch of time if one is named."""
        try:
            rows = await self._interactions.summary(**wanted.filters(), bucket=wanted.bucket)
        except Unavailable as error:
            raise DatabaseUnavailableError from error
        counted = [asdict(row) for row in rows]
        return InteractionSummary(items=[InteractionSummaryRow(event_type=row.pop("event"), **row) for row in counted])
