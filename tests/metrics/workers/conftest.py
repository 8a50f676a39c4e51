"""A service of several workers for one test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.metrics.workers.processes import Service, running


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    place = tmp_path / "place"
    place.mkdir(mode=0o700)
    with running(place) as service:
        yield service
