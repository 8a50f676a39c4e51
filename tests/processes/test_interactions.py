"""Interactions of real workers on a real PostgreSQL, both in trouble; `make endurance` is the long form."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import or_skip
from tests.endurance.database import PostgreSQL, postgresql
from tests.endurance.latency import latency
from tests.endurance.runs import QUICK, on_postgresql
from tests.endurance.stopping import stopping


@pytest.fixture
def database() -> Iterator[PostgreSQL]:
    with or_skip(), postgresql() as database:
        yield database


def test_each_answered_request_has_one_row(tmp_path: Path, database: PostgreSQL) -> None:
    """Workers are killed at random, the database is locked, crashes, is slow and loses its answers: no row is missing.

    None is double, each has the id, status, user, subject and metadata of its request; killing everything at the end
    loses none either.
    """
    result = on_postgresql(tmp_path, database, QUICK)
    assert result.faults() == [], result.errors[:5]
    assert len(result.ledger.kills) >= 6  # four at the end; a busy machine takes seconds to start another
    assert result.figures["retried_total"] > 0


def test_a_request_does_not_wait_for_the_database(tmp_path: Path, database: PostgreSQL) -> None:
    """While the database is stopped or hangs, p99 rises by less than 2 ms, as far as this machine can tell."""
    troubles = [("stopped", database.stopped), ("hanging", database.hanging)]
    for result in latency(tmp_path, database, troubles, pairs=2, requests=500):
        assert result.faults(result.noise()) == []


def test_a_stop_leaves_nothing_or_takes_its_time_and_no_more(tmp_path: Path, database: PostgreSQL) -> None:
    """SIGTERM delivers what waits; with the database away it is over in seconds, and the next start delivers it."""
    assert stopping(tmp_path, database, requests=300).faults() == []
