"""`python -m tests.endurance [PART …]`: all of it, as tables of a document; the exit code is 1 where a check fails."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.endurance import runs, tables
from tests.endurance.backlog import backlog
from tests.endurance.database import PostgreSQL, postgresql
from tests.endurance.disk import full_disk, small_disk
from tests.endurance.latency import latency
from tests.endurance.stopping import stopping

Part = Callable[[Path, PostgreSQL], tuple[str, Iterator[str], list[str]]]
"""Returns a title, the lines below it, and what was not as it must be."""


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _chaos(folder: Path, database: PostgreSQL) -> tuple[str, Iterator[str], list[str]]:
    result = runs.on_postgresql(folder, database, say=_say)
    return "Workers killed, PostgreSQL in trouble", tables.chaos(result), result.faults()


def _sqlite(folder: Path, _: PostgreSQL) -> tuple[str, Iterator[str], list[str]]:
    result = runs.on_sqlite(folder, say=_say)
    return "Workers killed, SQLite in trouble", tables.chaos(result), result.faults()


def _latency(folder: Path, database: PostgreSQL) -> tuple[str, Iterator[str], list[str]]:
    results = latency(folder, database, [("stopped", database.stopped), ("hanging", database.hanging)])
    faults = [fault for result in results for fault in result.faults()]
    return "Latency while the database is away", tables.latency(results), faults


def _backlog(folder: Path, database: PostgreSQL) -> tuple[str, Iterator[str], list[str]]:
    result = backlog(folder, database)
    return "A backlog", tables.backlog(result), result.faults()


def _stopping(folder: Path, database: PostgreSQL) -> tuple[str, Iterator[str], list[str]]:
    result = stopping(folder, database)
    return "SIGTERM", tables.stopping(result), result.faults()


def _disk(folder: Path, database: PostgreSQL) -> tuple[str, Iterator[str], list[str]]:
    title = "A disk of 256 KiB, full while the database is stopped"
    try:
        with small_disk(folder / "disk", 256) as mounted:
            result = full_disk(folder, database, mounted)
    except PermissionError as error:
        return title, iter([f"Not looked at: {error}"]), []
    return title, tables.disk(result), result.faults()


PARTS: dict[str, Part] = {
    "chaos": _chaos,
    "sqlite": _sqlite,
    "latency": _latency,
    "backlog": _backlog,
    "stopping": _stopping,
    "disk": _disk,
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.endurance", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    wanted = parser.parse_args(arguments).parts or list(PARTS)
    if wrong := [name for name in wanted if name not in PARTS]:
        parser.error(f"there is no part {wrong[0]}, but {', '.join(PARTS)}")
    began = time.monotonic()
    faults = 0
    with postgresql() as database:
        for name in wanted:
            database.empty()
            with tempfile.TemporaryDirectory() as folder:
                title, lines, found = PARTS[name](Path(folder), database)
            print(f"\n### {title}\n", *lines, *(f"\nFAULT: {fault}" for fault in found), sep="\n", flush=True)
            faults += len(found)
    print(f"\n{faults or 'No'} faults; {time.monotonic() - began:.0f} seconds.")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
