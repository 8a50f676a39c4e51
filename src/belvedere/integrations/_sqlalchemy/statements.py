"""What a statement does and to which table, by its compiled form; of text, the first word alone is looked at."""

from __future__ import annotations

import re
from typing import Any, Final

from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.selectable import CompoundSelect, Join, Select, TableClause

from belvedere.conventions import OTHER, OTHER_OPERATION

_WORDS: Final = frozenset(
    {
        "ALTER",
        "ANALYZE",
        "BEGIN",
        "CALL",
        "COMMIT",
        "COPY",
        "CREATE",
        "DELETE",
        "DO",
        "DROP",
        "EXECUTE",
        "EXPLAIN",
        "GRANT",
        "INSERT",
        "LISTEN",
        "LOCK",
        "MERGE",
        "NOTIFY",
        "PRAGMA",
        "REFRESH",
        "REINDEX",
        "RELEASE",
        "REPLACE",
        "REVOKE",
        "ROLLBACK",
        "SAVEPOINT",
        "SELECT",
        "SET",
        "SHOW",
        "TABLE",
        "TRUNCATE",
        "UPDATE",
        "VACUUM",
        "VALUES",
        "WITH",
    }
)
_DEPTH: Final = 20
"""Subqueries in subqueries that are looked into."""


_LITERAL: Final = re.compile(
    r"""(--[^\n]*|/\*.*?\*/|"[^"]*")"""  # comments and names stay
    r"""|'(?:[^']|'')*'?|\$(\w*)\$.*?(?:\$\2\$|\Z)""",
    re.DOTALL,
)


def without_literals(statement: str) -> str:
    """Return a statement's text with `'?'` for each quoted value in it: what is written there is a value as well.

    Where a backslash precedes a quote, it depends on the database where the value ends: the rest is left out.
    """
    if "'" not in statement and "$" not in statement:
        return statement
    if "\\'" in statement:
        return statement.partition("'")[0] + "'?' …"
    return _LITERAL.sub(lambda found: found[1] or "'?'", statement)


def of_compiled(compiled: Any) -> tuple[str, str]:
    """Return operation and table of a compiled statement; where it has several tables, that which it begins with."""
    statement = compiled.statement
    for operation in ("insert", "update", "delete"):
        if getattr(compiled, f"is{operation}", False):
            return operation.upper(), _table(statement)
    table = _table(statement)
    if table == OTHER:
        # Of DDL it is the element, or what an index is on.
        element = getattr(statement, "element", None)
        table = _table(element if isinstance(element, TableClause) else getattr(element, "table", None))
    return of_text(str(compiled)) if not isinstance(statement, Select | CompoundSelect) else "SELECT", table


def of_text(statement: str) -> str:
    """Return the first word of a statement after comments and brackets, if SQL knows it as the beginning of one."""
    text = statement[:2000].lstrip("( \t\r\n;")
    while text.startswith(("/*", "--")):
        text = text.partition("*/" if text[0] == "/" else "\n")[2].lstrip("( \t\r\n;")
    word = text[:12].split(None, 1)[:1]
    known = word[0].rstrip("(;").upper() if word else ""
    return known if known in _WORDS else OTHER_OPERATION


def _table(source: Any) -> str:
    for _ in range(_DEPTH):
        if isinstance(source, TableClause):
            return str(source.name)
        if isinstance(source, Join):
            source = source.left
        elif isinstance(source, UpdateBase):
            source = source.table
        elif isinstance(source, CompoundSelect):
            source = source.selects[0]
        elif isinstance(source, Select):
            source = next(iter(source.get_final_froms()), None)
        else:
            # Aliases, subqueries, common table expressions, and what is in brackets.
            source = getattr(source, "element", None)
    return OTHER
