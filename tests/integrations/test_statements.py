"""SQLAlchemy: what a statement is counted as, which ones are slow, and that their values are shown nowhere."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import Engine, delete, func, insert, literal, select, text, union, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from sqlalchemy.schema import CreateIndex, CreateTable

from belvedere import integrations
from belvedere.integrations._sqlalchemy.statements import without_literals
from tests.drive import ask
from tests.integrations.conftest import Lines, Observe
from tests.integrations.orders import Order, bare, counted, engine, lines_table, orders, sub, tree
from tests.tracing.conftest import Kept

__all__ = ["engine"]

SECRET = "s3cr3t-w0rd"


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (select(orders), ("SELECT", "orders")),
        (select(Order).where(Order.id.in_([1, 2])), ("SELECT", "orders")),
        (select(orders.alias("o")), ("SELECT", "orders")),
        (select(lines_table).join(orders, orders.c.id == lines_table.c.order), ("SELECT", "order_lines")),
        (select(func.count()).select_from(sub), ("SELECT", "orders")),
        (select(tree.c.id), ("SELECT", "orders")),
        (union(select(orders.c.id), select(lines_table.c.id)), ("SELECT", "orders")),
        (select(1), ("SELECT", "other")),
        (select(func.abs(-1)), ("SELECT", "other")),
        (insert(Order).values(note="n"), ("INSERT", "orders")),
        (insert(lines_table).from_select(["order"], select(orders.c.id)), ("INSERT", "order_lines")),
        (update(Order).where(Order.id == 1).values(note="m"), ("UPDATE", "orders")),
        (delete(orders).where(orders.c.id == 1), ("DELETE", "orders")),
        (text("SELECT note FROM orders"), ("SELECT", "other")),
        (text("/* why */ -- or not\n  (select 1)"), None),
        (text("-- why\nselect 1"), ("SELECT", "other")),
        (text("WITH t AS (SELECT 1) SELECT * FROM t"), ("WITH", "other")),
        (text("PRAGMA user_version"), ("PRAGMA", "other")),
        (text("DETACH x"), ("OTHER", "other")),
        (select(Order).from_statement(text("SELECT * FROM orders")), ("SELECT", "other")),
        (CreateTable(bare), ("CREATE", "bare")),
        (CreateIndex(next(iter(bare.indexes))), ("CREATE", "bare")),
    ],
    ids=str,
)
async def test_statements(statement: Any, expected: tuple[str, str] | None, engine: Engine, observe: Observe) -> None:
    """A statement is counted and timed once, by what it is when compiled; failed ones as well."""
    app = FastAPI()
    observe(app, integrations.sqlalchemy(engine))
    for _ in range(2):
        with Session(engine) as session:
            try:
                session.execute(statement)
            except DBAPIError:
                pass
    counts, times = await counted(app), await counted(app, "database_query_duration_seconds_count")
    assert counts == times == {expected or ("SELECT", "other"): 2.0}


async def test_text_of_the_driver(engine: Engine, observe: Observe) -> None:
    """What goes straight to the driver is known by its first word alone; there are no more series than words."""
    app = FastAPI()
    observe(app, integrations.sqlalchemy(engine))
    with engine.connect() as connection:
        for number in range(20):
            connection.exec_driver_sql(f"select {number}")
            with pytest.raises(DBAPIError):
                connection.exec_driver_sql(f"nonsense{number} from x")
    assert await counted(app) == {("SELECT", "other"): 20.0, ("OTHER", "other"): 20.0}


async def test_slow_queries(engine: Engine, observe: Observe, lines: Lines) -> None:
    """A slow statement is counted, and told with its text, request id and duration, never with a value."""
    app = FastAPI()

    @app.get("/slow")
    def slow() -> None:
        with engine.connect() as connection:
            connection.execute(select(orders.c.id).where(orders.c.note.in_([SECRET, "b"])))

    observe(app, integrations.sqlalchemy(engine, slow=0))
    answer = await ask(app, path="/slow")
    assert await counted(app, "database_slow_queries_total") == {("SELECT", "orders"): 1.0}
    found = lines()
    (line,) = [line for line in found if line["event"] == "slow_query"]
    assert line["request_id"] == answer.id
    assert (line["level"], line["operation"], line["table"], line["database"]) == (
        "warning",
        "SELECT",
        "orders",
        "database",
    )
    assert line["statement"].startswith("SELECT orders.id \nFROM orders \nWHERE orders.note IN (")
    assert line["latency_ms"] >= 0
    assert SECRET not in str(found)


async def test_no_value_is_shown(engine: Engine, observe: Observe, lines: Lines, kept: Kept) -> None:
    """However a value gets into a statement, neither the log of slow ones nor a span shows it."""
    observe(FastAPI(), integrations.sqlalchemy(engine, slow=0), tracing={"provider": kept.provider})
    spelled = select(orders.c.id).where(orders.c.note == SECRET).compile(engine, compile_kwargs={"literal_binds": True})
    with engine.begin() as connection:
        connection.execute(text(str(spelled)))
        connection.execute(select(orders.c.id).where(orders.c.note == literal(SECRET, literal_execute=True)))
        connection.execute(select(orders.c.id).where(orders.c.note.in_([SECRET, "b"])))
        connection.execute(text("SELECT :value"), {"value": SECRET})
        connection.execute(text(f"SELECT 7, 'it''s {SECRET}' -- it's"))
        connection.execute(insert(orders), [{"note": SECRET}, {"note": SECRET}])
        connection.execute(insert(orders).values([{"note": SECRET}, {"note": SECRET}]).returning(orders.c.id))
        connection.exec_driver_sql(f"SELECT '{SECRET}'")
        connection.exec_driver_sql("SELECT ?", (SECRET,))
        with pytest.raises(DBAPIError):
            connection.exec_driver_sql(f"SELECT nowhere, '{SECRET}'")
    told = [line["statement"] for line in lines("slow_query")]
    assert told == [(span.attributes or {})["db.query.text"] for span in kept.spans]
    assert len(told) == 10
    assert SECRET not in str(told) + str([span.to_json() for span in kept.spans])
    assert told[4] == "SELECT 7, '?' -- it's"


@pytest.mark.parametrize(
    ("statement", "shown"),
    [
        ("select 'a''b' from x where y = $1 and z = 'c'", "select '?' from x where y = $1 and z = '?'"),
        ("-- it's\nselect 'q' /* it's */, \"it's\", 'r'", "-- it's\nselect '?' /* it's */, \"it's\", '?'"),
        ("do $$ a $$; do $b$ c $d$ e $b$; do $$ open", "do '?'; do '?'; do '?'"),
        ("select 'open", "select '?'"),
        ("select 1, E'it\\'s secret', 'x'", "select 1, E'?' …"),
    ],
)
def test_quoted_values_are_left_out(statement: str, shown: str) -> None:
    """Comments and quoted names are none; of a value whose end depends on the database, nothing after it is shown."""
    assert without_literals(statement) == shown


async def test_no_query_is_slow_unless_it_is(engine: Engine, observe: Observe, lines: Lines) -> None:
    app = FastAPI()
    observe(app, integrations.sqlalchemy(engine, slow=None), integrations.sqlalchemy(engine, name="other"))
    with engine.connect() as connection:
        connection.execute(select(orders))
    assert await counted(app, "database_slow_queries_total") == {}
    assert lines("slow_query") == []
