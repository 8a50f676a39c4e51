"""The queries. Each method takes a connection for as long as its queries last."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, SQLColumnExpression, delete, desc, func, literal, or_, select, update

from scholarships.database import Database
from scholarships.filters import Filters, ListQuery, SearchBody, Sort
from scholarships.fulltext import full_text, searched_words
from scholarships.models import Scholarship

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

    async def add(self, values: Mapping[str, Any], *, owner: str) -> Scholarship:
        """Store a new one of this owner, and return it with its number."""
        scholarship = Scholarship(**values, owner=owner)
        async with self._database.session() as session:
            session.add(scholarship)
            await session.commit()
        return scholarship

    async def change(self, id: int, values: Mapping[str, Any], *, owner: str | None) -> Scholarship | None:
        """Change these values of one, and return it; `None` if there is none, or not of this owner.

        One statement: of two changes at once the later one wins, value by value, and the owner cannot change between a
        question and the answer.
        """
        statement = update(Scholarship).where(*_owned(id, owner)).values(**values).returning(Scholarship)
        async with self._database.session() as session:
            changed = (await session.execute(statement)).scalar_one_or_none()
            await session.commit()
        return changed

    async def remove(self, id: int, *, owner: str | None) -> bool:
        """Delete one; tell whether there was one of this owner."""
        statement = delete(Scholarship).where(*_owned(id, owner)).returning(Scholarship.id)
        async with self._database.session() as session:
            removed = (await session.execute(statement)).scalar_one_or_none()
            await session.commit()
        return removed is not None

    async def _page(
        self, statement: Select[Any], wanted: ListQuery | SearchBody, *order: SQLColumnExpression[Any]
    ) -> tuple[Sequence[Any], int]:
        page = statement.order_by(*order, Scholarship.id).limit(wanted.limit).offset(wanted.offset)
        count = select(func.count()).select_from(statement.with_only_columns(Scholarship.id).subquery())
        async with self._database.session() as session:
            rows = (await session.execute(page)).all()
            total = (await session.execute(count)).scalar_one()
        return rows, total


def _owned(id: int, owner: str | None) -> list[ColumnElement[bool]]:
    one = [Scholarship.id == id]
    return one if owner is None else [*one, Scholarship.owner == owner]


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
