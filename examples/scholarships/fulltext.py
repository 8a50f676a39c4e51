"""Full-text search, in the words of each database; what people type only ever reaches it as a bound value."""

from __future__ import annotations

import re
import unicodedata
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Select, cast, column, func, literal, literal_column, table
from sqlalchemy.dialects.postgresql import REGCONFIG, TSVECTOR

from scholarships.models import Scholarship
from scholarships.stop_words import STOP_WORDS

_WORD = re.compile(r"[^\W_]+")


class FullText(Protocol):
    """What narrows a selection of scholarships to those with all the words, and says how well they fit."""

    def apply(self, statement: Select[Any], words: list[str]) -> tuple[Select[Any], ColumnElement[float]]: ...


class SqliteFullText:
    """FTS5, with bm25."""

    # https://www.sqlite.org/fts5.html#the_bm25_function: one weight for each column of the index, in its order.
    _weights = (10.0, 4.0, 4.0, 2.0, 1.0)

    def apply(self, statement: Select[Any], words: list[str]) -> tuple[Select[Any], ColumnElement[float]]:
        index = table("scholarships_fts", column("rowid"))
        name: ColumnElement[Any] = literal_column("scholarships_fts")
        # In quotes, AND, OR, NEAR and * are words as any other.
        phrases = " ".join(f'"{word}"' for word in words)
        found = statement.join(index, index.c.rowid == Scholarship.id).where(name.op("MATCH")(phrases))
        return found, -func.bm25(name, *self._weights)  # bm25 is the smaller the better


class PostgresFullText:
    """A generated `tsvector` with a GIN index, and `ts_rank`."""

    def apply(self, statement: Select[Any], words: list[str]) -> tuple[Select[Any], ColumnElement[float]]:
        vector = literal_column("scholarships.search_vector", TSVECTOR)
        # Unlike to_tsquery, this one has no syntax that could be wrong.
        query = func.plainto_tsquery(cast(literal("english"), REGCONFIG), " ".join(words))
        return statement.where(vector.op("@@")(query)), func.ts_rank(vector, query)


def full_text(dialect: str) -> FullText:
    """Return the search of a database."""
    return SqliteFullText() if dialect == "sqlite" else PostgresFullText()


def searched_words(text: str | None) -> list[str]:
    """Return the words that are worth searching for; none for a text of punctuation, or of `the` and `of`.

    Both databases bound what they take, PostgreSQL the length of a word (2 KB), FTS5 the depth of an expression (256).
    """
    found = _WORD.findall(unicodedata.normalize("NFKC", text or "").lower())
    words = dict.fromkeys(word[:100] for word in found if word not in STOP_WORDS)
    return list(words)[:32]
