"""The page about interactions says what is."""

from __future__ import annotations

import inspect
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from fastapi.testclient import TestClient
from sqlalchemy import create_engine
from sqlalchemy import inspect as look_into

from belvedere import Interactions
from belvedere.conventions import InteractionEvent

PAGE = (Path(__file__).parents[2] / "docs" / "interactions.md").read_text(encoding="utf-8")


def test_every_event_is_on_the_page() -> None:
    """Each event that may be logged has a row."""
    events = {value for name, value in vars(InteractionEvent).items() if not name.startswith("_")}
    assert {event for event in events if f"\n| `{event}` |" not in PAGE} == set()


def test_every_argument_is_on_the_page() -> None:
    """Each argument has a row, or shares one."""
    rows = [
        line.split("|")[1]
        for line in PAGE.partition("## Arguments")[2].partition("\n## ")[0].splitlines()
        if line.startswith("| `")
    ]
    arguments = set(inspect.signature(Interactions).parameters)
    assert arguments == {name.strip(" `") for row in rows for name in row.split(",")}


BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_its_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The application of the page records what it says, and its queries find that, to the last page."""
    monkeypatch.chdir(tmp_path)
    application, _, reading = BLOCKS
    names: dict[str, Any] = {"__name__": "scholarships"}
    exec(compile(application, "scholarships.py", "exec", dont_inherit=True), names)  # noqa: S102
    with TestClient(names["app"]) as client:

        async def read() -> Any:
            assert await names["interactions"].flush(60)
            exec(f"async def read():\n{textwrap.indent(reading, '    ')}    return page", names)  # noqa: S102
            page = await names["read"]()
            await names["engine"].dispose()
            return page

        for _ in range(101):
            assert client.get("/scholarships/7").status_code == 200
        assert client.post("/search", json={"query": "maths"}).status_code == 200
        page = client.portal.call(read) if client.portal else None
    assert page is not None
    assert [(item["event_type"], item["scholarship_id"]) for item in page.items] == [("view_scholarship", 7)]
    names["app"].state.belvedere.remove()


def test_its_migration_runs() -> None:
    """What the page has for Alembic makes the table, and takes it away again."""
    names: dict[str, Any] = {}
    exec(compile(BLOCKS[1], "migration.py", "exec", dont_inherit=True), names)  # noqa: S102
    engine = create_engine("sqlite://")
    with engine.begin() as connection, Operations.context(MigrationContext.configure(connection)):
        names["upgrade"]()
        columns = look_into(connection).get_columns("interactions")
        names["downgrade"]()
        left = look_into(connection).get_table_names()
    engine.dispose()
    assert "scholarship_id" in {column["name"] for column in columns}
    assert left == []
