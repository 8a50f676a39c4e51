"""The fifteen scholarships of the first start; they and their providers are made up."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from scholarships.models import Scholarship
from scholarships.schemas import ScholarshipOut

_FILE = Path(__file__).with_name("samples.json")


@cache
def samples() -> tuple[ScholarshipOut, ...]:
    """Return the scholarships, numbered from 1 in the order of the file."""
    rows: list[dict[str, Any]] = TypeAdapter(list[dict[str, Any]]).validate_json(_FILE.read_bytes())
    return tuple(ScholarshipOut(id=number, **row) for number, row in enumerate(rows, start=1))


async def load_samples(connection: AsyncConnection) -> int:
    """Put the scholarships into an empty table; return how many, 0 where there were some already."""
    if (await connection.execute(select(Scholarship.id).limit(1))).first():
        return 0
    # Without ids: PostgreSQL's sequence would not know of them and hand them out again.
    rows = [sample.model_dump(exclude={"id"}) for sample in samples()]
    await connection.execute(insert(Scholarship), rows)
    return len(rows)
