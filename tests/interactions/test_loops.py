"""One delivery at a time, whatever event loops and processes come and go."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from sqlalchemy import event
from sqlalchemy.ext.asyncio import create_async_engine

from belvedere import Interactions
from tests.drive import observed
from tests.interactions.conftest import rows
from tests.interactions.shop import DEADLINE, shop


def test_one_loop_after_another(tmp_path: Path) -> None:
    """Test clients and `asyncio.run` bring loops of their own: each takes over from the one before."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/shop.db")
    interactions = Interactions(engine)
    app = shop(interactions)

    async def create() -> None:
        await interactions.create_table()

    async def by_hand() -> None:
        await interactions.log("by_hand")

    asyncio.run(create())
    with observed(app, interactions):
        for _ in range(2):
            with TestClient(app) as client:
                assert client.get("/items/1").status_code == 200
        client = TestClient(app)
        assert client.get("/items/2").status_code == 200
        asyncio.run(by_hand())
        found = asyncio.run(rows(interactions))
    assert [row["event_type"] for row in found] == ["view", "view", "view", "by_hand"]
    asyncio.run(engine.dispose())


def test_a_loop_for_each_request(tmp_path: Path) -> None:
    """A loop that ends with its request, as a `TestClient` has without `with`, sees nothing of the database."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/shop.db")
    connected: list[Any] = []
    event.listen(engine.sync_engine, "connect", lambda *connection: connected.append(connection))
    interactions = Interactions(engine)
    app = shop(interactions)
    client = TestClient(app)

    async def count() -> int:
        await interactions.create_table()
        found = await rows(interactions)
        await engine.dispose()
        return len(found)

    with observed(app, interactions):
        for number in range(20):
            assert client.get(f"/items/{number}").status_code == 200
        assert not connected
        assert asyncio.run(count()) == 20


FORKED = """
import asyncio, os, sys
from sqlalchemy import event, func, select
from sqlalchemy.ext.asyncio import create_async_engine
from belvedere import Interactions

interactions = Interactions(create_async_engine("sqlite+aiosqlite:///" + sys.argv[1]), journal=sys.argv[2])

async def work(name, flush=True):
    await interactions.create_table()
    for _ in range(100):
        await interactions.log(name)
    assert not flush or await interactions.flush(60)
    await interactions._engine.dispose()

async def count():
    async with interactions._engine.connect() as connection:
        print(await connection.scalar(select(func.count(func.distinct(interactions.table.c.event_id)))))
    await interactions._engine.dispose()

asyncio.run(work("parent"))
child = os.fork()
asyncio.run(work("child" if child == 0 else "parent"))
if child:
    assert os.waitpid(child, 0)[1] == 0
    asyncio.run(work("again"))
    asyncio.run(count())
"""


def test_a_fork_has_a_delivery_of_its_own(tmp_path: Path) -> None:
    """Parent and child record on, each its own events under ids of its own, and nothing is lost or comes twice."""
    done = subprocess.run(
        [sys.executable, "-c", FORKED, str(tmp_path / "shop.db"), str(tmp_path / "journal")],
        check=True,
        capture_output=True,
        text=True,
        timeout=DEADLINE * 4,
    )
    assert done.stdout.strip() == "400"
