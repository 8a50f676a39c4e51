"""A service on SQLite for all attacks, and one on each database for those that are aimed at it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.examples.scholarships import databases
from tests.examples.security.attack import Target, target


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """The service on SQLite."""
    folder = tmp_path_factory.mktemp("attacked")
    with target(folder, f"sqlite:///{folder / 'scholarships.db'}") as found:
        yield found


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def either(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """The service on SQLite, and on PostgreSQL."""
    if request.param == "sqlite":
        yield request.getfixturevalue("service")
        return
    with databases.postgres(request.getfixturevalue("postgres_url")) as url:
        folder = tmp_path_factory.mktemp("attacked")
        with target(folder, url.render_as_string(hide_password=False)) as found:
            yield found
