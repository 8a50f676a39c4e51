"""A journal, and workers that share its folder, for one test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from belvedere import failures
from belvedere.interactions.journal import Journal
from tests.interactions.journal.processes import Make, workers


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def journal(folder: Path) -> Iterator[Journal]:
    """A journal with files of 4 KiB, in which nothing went wrong that it does not know."""
    before = failures.counts["interactions"]
    journal = Journal(folder, segment_bytes=4096)
    journal.open()
    yield journal
    journal.close()
    assert failures.counts["interactions"] == before


@pytest.fixture
def make(folder: Path) -> Iterator[Make]:
    """What makes workers."""
    with workers(folder) as make:
        yield make
