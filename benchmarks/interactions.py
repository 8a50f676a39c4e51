"""What becomes of a backlog of interactions, and who waits while old ones go: `python -m benchmarks interactions`.

A journal of 100,000 events is drained to a PostgreSQL of its own, in batches of several sizes. Then a million rows are
pruned, in PostgreSQL and in SQLite with each of its journal modes, while another process writes rows one by one.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable

from belvedere.interactions.delivery import BACKLOG
from benchmarks.backlog import drained, idle
from benchmarks.retention import pruned
from tests.servers import postgres

EVENTS = 100_000
SIZES = (250, 500, 1_000, BACKLOG)
ROWS = 1_000_000

Say = Callable[[str], None]


def report(say: Say, *, events: int = EVENTS, rows: int = ROWS) -> str:
    """Measure, and return the tables."""
    with postgres() as url, tempfile.TemporaryDirectory() as folder:
        lines = [
            f"A journal of {events:,} events, drained to PostgreSQL; what the event loop did meanwhile, in ms:",
            "",
            "| events of a batch | rows/s | late, p99 | late, most | busy at once, p99 | busy at once, most |",
            "| --- | ---: | ---: | ---: | ---: | ---: |",
        ]
        lines.append(f"| nothing is drained | | {' | '.join(asyncio.run(idle()).cells())} |")
        for size in SIZES:
            rate, delays = asyncio.run(drained(url, events, size))
            lines.append(f"| {size:,} | {rate:,.0f} | {' | '.join(delays.cells())} |")
            say(lines[-1])
        lines += [
            "",
            f"{rows:,} rows are pruned while another process writes one row every 5 ms; what a write took, in ms:",
            "",
            "| | rows/s pruned | longest chunk | before: p99 | most | meanwhile: median | p99 | most | over 100 ms | "
            "over 100 ms before |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        ]
        lite = "sqlite+aiosqlite:///" + folder
        for name, where, mode in (
            ("PostgreSQL", url, None),
            ("SQLite, WAL", f"{lite}/wal.db", "WAL"),
            ("SQLite, its default journal", f"{lite}/delete.db", "DELETE"),
        ):
            lines.append(f"| {name} | {' | '.join(asyncio.run(pruned(where, rows, mode)).cells())} |")
            say(lines[-1])
    return "\n".join(lines)
