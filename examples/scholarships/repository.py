"""The queries, timed. Each method takes a connection for as long as its queries last."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, SQLColumnExpression, desc, func, literal, or_, select

import belvedere
from scholarships.database import Database
from scholarships.filters import Filters, ListQuery, SearchBody, Sort
from scholarships.fulltext import full_text, searched_words
from scholarships.models import Scholarship

query_duration = belvedere.histogram(
    "database_query_duration_seconds",
    "Time that the database took for a query.",
    ["operation", "table"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)

_ORDERS: dict[Sort, ColumnElement[Any]] = {
    Sort.DEADLINE: Scholarship.deadline.asc(),
    Sort.LATEST_DEADLINE: Scholarship.deadline.desc(),
    Sort.AMOUNT: Scholarship.amount.asc(),
    Sort.HIGHEST_AMOUNT: Scholarship.amount.desc(),
    Sort.TITLE: func.lower(Scholarship.title).asc(),
    Sort.TITLE_REVERSED: func.lower(Scholarship.title).desc(),
}


@dataclass(frozen=True, slots=True)
class Found:
    """A scholarship, and how well it fits the text that was searched for."""

    scholarship: Scholarship
    score: float


class Scholarships:
    """All scholarships.

    Each method raises `DatabaseUnavailableError` when the database cannot be asked.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._full_text = full_text(database.dialect)

    async def get(self, id: int) -> Scholarship | None:
        """Return one, or `None`."""
        async with self._database.session() as session:
            with _timed():
                return await session.get(Scholarship, id)

    async def page(self, wanted: ListQuery) -> tuple[Sequence[Scholarship], int]:
        """Return a page of those that pass the filters, in order, and how many there are in all."""
        statement = _narrowed(select(Scholarship), wanted)
        if words := searched_words(wanted.query):
            statement, _ = self._full_text.apply(statement, words)
        rows, total = await self._page(statement, wanted, _ORDERS[wanted.sort])
        return [row[0] for row in rows], total

    async def search(self, wanted: SearchBody) -> tuple[Sequence[Found], int]:
        """Return a page of those that pass the filters and have every word, the best first, and how many there are."""
        statement = _narrowed(select(Scholarship), wanted)
        score: ColumnElement[float] = literal(0.0)
        if words := searched_words(wanted.query):
            statement, score = self._full_text.apply(statement, words)
        statement = statement.add_columns(score.label("score"))
        rows, total = await self._page(statement, wanted, desc("score"), Scholarship.deadline)
        return [Found(row[0], row[1]) for row in rows], total

    async def _page(
        self, statement: Select[Any], wanted: ListQuery | SearchBody, *order: SQLColumnExpression[Any]
    ) -> tuple[Sequence[Any], int]:
        page = statement.order_by(*order, Scholarship.id).limit(wanted.limit).offset(wanted.offset)
        count = select(func.count()).select_from(statement.with_only_columns(Scholarship.id).subquery())
        async with self._database.session() as session:
            with _timed():
                rows = (await session.execute(page)).all()
            with _timed():
                total = (await session.execute(count)).scalar_one()
        return rows, total


def _timed() -> AbstractContextManager[object]:
    timer: AbstractContextManager[object] = query_duration.labels("SELECT", Scholarship.__tablename__).time()
    return timer


def _narrowed(statement: Select[Any], filters: Filters) -> Select[Any]:
    conditions: Iterable[tuple[Any, Callable[[Any], ColumnElement[bool]]]] = (
        (filters.min_amount, lambda value: Scholarship.amount >= value),
        (filters.max_amount, lambda value: Scholarship.amount <= value),
        (filters.deadline_after, lambda value: Scholarship.deadline >= value),
        (filters.deadline_before, lambda value: Scholarship.deadline <= value),
        (filters.field_of_study, lambda value: func.lower(Scholarship.field_of_study) == func.lower(value)),
        (filters.level, lambda value: Scholarship.level == value),
        (filters.country, lambda value: func.lower(Scholarship.country) == func.lower(value)),
        (filters.min_gpa, lambda value: or_(Scholarship.min_gpa.is_(None), Scholarship.min_gpa <= value)),
    )
    return statement.where(*(condition(value) for value, condition in conditions if value is not None))
