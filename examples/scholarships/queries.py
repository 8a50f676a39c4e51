"""The time that queries take, for all repositories."""

from __future__ import annotations

from contextlib import AbstractContextManager

import belvedere
from scholarships.models import Base

query_duration = belvedere.histogram(
    "database_query_duration_seconds",
    "Time that the database took for a query.",
    ["operation", "table"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)


def timed(operation: str, model: type[Base]) -> AbstractContextManager[object]:
    """Measure a block as one query of a table."""
    timer: AbstractContextManager[object] = query_duration.labels(operation, model.__tablename__).time()
    return timer
