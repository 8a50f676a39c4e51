"""Where the journal lies, and what becomes of events where it lies nowhere."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from sqlalchemy import URL, MetaData, Table
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import StaticPool

from belvedere import Interactions
from belvedere.conventions import InteractionEvent
from belvedere.interactions.place import own
from tests.drive import ask, observed, running
from tests.interactions.conftest import rows, stopped
from tests.interactions.shop import DEADLINE, events, shop


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


_ORDERS = """
import asyncio, os, sys
from sqlalchemy.ext.asyncio import create_async_engine
from belvedere import Interactions

async def main():
    engine = create_async_engine(sys.argv[1])
    interactions = Interactions(engine, "orders", journal=sys.argv[2])
    if sys.argv[3] == "die":
        await interactions.log("ordered")
        os.kill(os.getpid(), 9)
    await interactions.create_table()
    assert await interactions.flush(60)
    print([row["event_type"] for row in (await interactions.query()).items])
    os._exit(0)

asyncio.run(main())
"""


async def test_two_services_given_one_folder(engine: AsyncEngine, tmp_path: Path) -> None:
    """What one of them leaves when it is killed never comes into the table of the other, and is there when it starts.

    Both keep their events on disk, the second below the folder of the first.
    """
    folder = tmp_path / "journal"

    async def orders(what: str) -> str:
        command = [sys.executable, "-c", _ORDERS, str(engine.url), str(folder), what]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        printed, _ = await asyncio.wait_for(process.communicate(), 2 * DEADLINE)
        return printed.decode()

    await orders("die")
    payments = Interactions(engine, "payments", journal=folder)
    await payments.create_table()
    app = shop(payments)
    with observed(app, payments) as obs:
        async with running(app):
            await ask(app, path="/items/1")
            assert [row["event_type"] for row in await rows(payments)] == ["view"]
            assert f"journal in {folder}/shop-payments-" in obs.report()["interactions"]["why"]
            assert list(folder.glob("shop-payments-*/*.events"))
    assert await orders("deliver") == "['ordered']\n"


def test_a_database_that_moved_gets_what_waited_for_it(tmp_path: Path) -> None:
    """Host and port are not what a journal is for: it waits for the database of that name."""
    table = Table("interactions", MetaData())
    for host, port in (("one", 5432), ("two", 6432)):
        assert own(tmp_path, URL.create("postgresql+asyncpg", "u", "p", host, port, "shop"), table) == tmp_path
    other = own(tmp_path, URL.create("postgresql+asyncpg", "u", "p", "one", 5432, "billing"), table)
    assert other == tmp_path / "billing-interactions"
