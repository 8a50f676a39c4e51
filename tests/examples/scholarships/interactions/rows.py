"""What was recorded, as it stands in the database; and databases that can be cut off."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from fastapi import FastAPI
from sqlalchemy import URL, select

from scholarships.config import Config
from scholarships.telemetry import Telemetry
from tests.examples.scholarships.identities import FREELY
from tests.examples.scholarships.outages import Outage, outage
from tests.examples.scholarships.serving import calling, served


async def rows_of(app: FastAPI, request_id: str) -> list[dict[str, Any]]:
    """Return all that was recorded of a request."""
    telemetry: Telemetry = app.state.telemetry
    assert await telemetry.interactions.flush(60)
    table = telemetry.interactions.table
    async with telemetry._database.engine.connect() as connection:
        found = await connection.execute(select(table).where(table.c.trace_id == request_id))
        return [dict(row) for row in found.mappings()]


async def row_of(app: FastAPI, answer: httpx.Response) -> dict[str, Any]:
    """Return the one row of an answer, without what differs each time; it is of these minutes."""
    (row,) = await rows_of(app, answer.headers["X-Request-ID"])
    created = row.pop("created_at")
    created = created.replace(tzinfo=UTC) if created.tzinfo is None else created
    assert abs(datetime.now(UTC) - created) < timedelta(minutes=10)
    assert len(row.pop("event_id")) >= 32
    assert row.pop("id") > 0
    assert row.pop("trace_id") == answer.headers["X-Request-ID"]
    assert row.pop("status") == answer.status_code
    return row


def row(event: str, method: str, path: str, **more: Any) -> dict[str, Any]:
    nothing: dict[str, Any] = {"user_id": None, "scholarship_id": None, "metadata": {}}
    return {"event_type": event, "method": method, "path": path, **nothing, **more}


@asynccontextmanager
async def cut_off(url: URL) -> AsyncIterator[tuple[Outage, FastAPI, httpx.AsyncClient]]:
    """Yield a service over a database that can be cut, and what calls it."""
    async with (
        outage(url) as database,
        served(Config(database_url=database.url, **FREELY)) as app,
        calling(app) as client,
    ):
        yield database, app, client
