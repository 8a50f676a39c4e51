"""Where the journal lies, and what becomes of events where it lies nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import StaticPool

from belvedere import Interactions
from belvedere.conventions import InteractionEvent
from tests.drive import ask, observed, running
from tests.interactions.conftest import rows, stopped
from tests.interactions.shop import events, shop


async def test_a_database_in_memory_has_its_journal_there(tmp_path: Path) -> None:
    """It ends with the process, and so does what waits for it; the report says so."""
    engine = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool)
    interactions = Interactions(engine)
    await interactions.create_table()
    app = shop(interactions)
    with observed(app, interactions) as obs:
        await ask(app, path="/items/1")
        assert len(await rows(interactions)) == 1
        assert obs.report()["interactions"]["why"] == "table interactions; journal in memory, as the database is"
    assert not (tmp_path / "state").exists()
    await stopped()
    await engine.dispose()


@pytest.mark.parametrize(
    ("journal", "why"),
    [(None, "as it was asked for"), (False, "as it was asked for"), ("file/below", "cannot be used")],
)
async def test_without_a_file_events_wait_in_memory(
    engine: AsyncEngine, tmp_path: Path, capsys: pytest.CaptureFixture[str], journal: str | bool | None, why: str
) -> None:
    """Asked for, or as the folder cannot be had: requests are recorded all the same, and the report says why.

    It does before the start as well. The log warns of what nobody asked for, at the start.
    """
    (tmp_path / "file").write_text("in the way")
    place = tmp_path / journal if isinstance(journal, str) else journal
    interactions = Interactions(engine, journal=place)
    await interactions.create_table()
    app = shop(interactions)
    logged: list[str] = []
    with observed(app, interactions) as obs:
        assert why in obs.report()["interactions"]["why"]
        assert "memory" in obs.report()["interactions"]["why"]
        async with running(app):
            logged += events(capsys)
            await ask(app, path="/items/1")
            assert len(await rows(interactions)) == 1
            assert why in obs.report()["interactions"]["why"]
            assert "memory" in obs.report()["interactions"]["why"]
    assert events(capsys) == []
    assert logged == ([InteractionEvent.JOURNAL_UNAVAILABLE] if isinstance(journal, str) else [])


async def test_the_journal_lies_by_database_and_table(tmp_path: Path) -> None:
    """Each table of each database has a folder of its own, whose name tells no secret."""
    urls = [
        "postgresql+asyncpg://admin:secret@db.example/shop",
        "postgresql+asyncpg://admin:secret@db.example:5433/shop",
        "postgresql+asyncpg://admin:secret@db.example/other",
        f"sqlite+aiosqlite:///{tmp_path}/shop.db",
        f"sqlite+aiosqlite:///{tmp_path}/folder/shop.db",
    ]
    engines = [create_async_engine(url) for url in urls]
    folders = [Interactions(engine)._folder for engine in engines]
    folders.append(Interactions(engines[0], "visits")._folder)
    folders.append(Interactions(engines[0], schema="audit")._folder)
    assert len(set(folders)) == 7
    assert {folder.parent for folder in folders if folder} == {tmp_path / "state" / "belvedere" / "interactions"}
    assert not any("secret" in str(folder) or "admin" in str(folder) for folder in folders)
    again = create_async_engine("postgresql+asyncpg://another:password@db.example/shop")
    assert Interactions(again)._folder == folders[0]
