"""The runs with kills: on which database, with which troubles when."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.endurance.chaos import Plan, Result, Trouble, chaos
from tests.endurance.database import PostgreSQL, SQLite
from tests.endurance.relay import Relay

FULL = Plan(
    requests=20_000,
    rate=340,
    schedule=(
        (6.0, "locked", 5.0),
        (16.0, "stopped", 10.0),
        (32.0, "slow", 6.0),
        (42.0, "deaf", 3.0),
        (50.0, "hanging", 4.0),
    ),
    kill_every=2.0,
)
QUICK = Plan(
    requests=3_000,
    rate=200,
    schedule=((1.0, "locked", 1.5), (4.0, "stopped", 5.0), (10.0, "slow", 2.0), (13.0, "deaf", 1.0)),
)
ON_SQLITE = Plan(requests=3_000, rate=200, schedule=((2.0, "locked", 4.0), (9.0, "slow", 4.0)))


def on_postgresql(
    folder: Path, database: PostgreSQL, plan: Plan = FULL, say: Callable[[str], None] = lambda _: None
) -> Result:
    """Run on PostgreSQL, behind a relay that can lose its answers."""
    with Relay(database.server.port).running() as relay:
        ours, its = f":{database.server.port}/", f":{relay.port}/"
        behind = PostgreSQL(database.server, database.server.url.replace(ours, its))
        troubles: dict[str, Trouble] = {
            "locked": database.locked,
            "stopped": database.stopped,
            "slow": database.slow,
            "hanging": database.hanging,
            "deaf": relay.deaf,
        }
        return chaos(folder, behind, troubles, plan, say)


def on_sqlite(folder: Path, plan: Plan = ON_SQLITE, say: Callable[[str], None] = lambda _: None) -> Result:
    """Run on SQLite, with a `BaseHTTPMiddleware` around the application."""
    database = SQLite(folder)
    return chaos(folder, database, {"locked": database.locked, "slow": database.slow}, plan, say, middleware=True)
