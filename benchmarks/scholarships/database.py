"""A PostgreSQL with scholarships in it, and the CPU time that it takes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import asyncpg
from sqlalchemy import URL

from scholarships.database import Database
from scholarships.startup import migrate
from tests import servers
from tests.examples.scholarships import databases

ROWS = 5_000
"""Scholarships: enough that a list, which counts them, and a search are work for the database."""
CONNECTIONS = 400
"""What the server has to allow: five services of four workers, of which each may keep up to fifteen, though few do."""

_FILL = """
INSERT INTO scholarships (title, provider, description, amount, deadline, field_of_study, level, country, min_gpa, url)
SELECT
    initcap(w[1 + n % 8]) || ' Scholarship ' || n,
    'Foundation for ' || initcap(w[1 + n / 8 % 8]),
    'For people who study ' || w[1 + n / 64 % 8] || ' and ' || w[1 + n % 5] || ', wherever they come from. '
        || repeat('It pays tuition, travel, and a place to live for each year of study. ', 3),
    1000 + n * 7919 % 40000,
    date '2027-01-01' + n * 31 % 700,
    initcap(w[1 + n / 8 % 8]),
    (ARRAY['undergraduate', 'graduate', 'doctoral', 'postdoctoral', 'vocational'])[1 + n % 5],
    (ARRAY['Norway', 'Kenya', 'Canada', 'India', 'Brazil', 'Japan', 'France', 'Chile'])[1 + n / 5 % 8],
    CASE WHEN n % 3 = 0 THEN NULL ELSE 2 + n % 20 / 10.0 END,
    'https://scholarships.example/' || n
FROM generate_series(1, $1::int) AS n,
    (SELECT ARRAY['climate', 'medicine', 'history', 'robotics', 'education', 'water', 'music', 'energy'] AS w) AS words
"""


@contextmanager
def filled() -> Iterator[URL]:
    """Yield an empty database's URL, migrated and filled; of the server of DATABASE_URL, or of one for this run."""
    with ExitStack() as stack:
        server = os.environ.get("DATABASE_URL") or stack.enter_context(servers.postgres(CONNECTIONS))
        url = stack.enter_context(databases.postgres(server))
        asyncio.run(_fill(url))
        yield url


async def _fill(url: URL) -> None:
    database = Database(url)
    try:
        await migrate(database, with_samples=False)
    finally:
        await database.close()
    connection = await asyncpg.connect(_plain(url))
    try:
        await connection.execute(_FILL, ROWS)
        await connection.execute("VACUUM ANALYZE scholarships")
    finally:
        await connection.close()


class Server:
    """The server's processes, where they are on this machine."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self._postmaster = asyncio.run(self._find())

    async def _find(self) -> int | None:
        connection = await asyncpg.connect(_plain(self._url))
        try:
            return _parent(await connection.fetchval("SELECT pg_backend_pid()"))
        finally:
            await connection.close()

    def cpu_seconds(self) -> float | None:
        """CPU time that the server has taken so far, processes that have ended included; None where it is elsewhere."""
        if self._postmaster is None:
            return None
        try:
            base = Path(f"/proc/{self._postmaster}")
            ended = base.joinpath("stat").read_text().rpartition(")")[2].split()[13:15]
            children = base.joinpath(f"task/{self._postmaster}/children").read_text().split()
            running = sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in children)
        except OSError:  # one of them has just ended
            return None
        return running / 1e9 + sum(map(int, ended)) / os.sysconf("SC_CLK_TCK")


def _parent(backend: int) -> int | None:
    try:
        name, _, rest = Path(f"/proc/{backend}/stat").read_text().rpartition(")")
    except OSError:
        return None
    return int(rest.split()[1]) if "postgres" in name else None


def _plain(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)
