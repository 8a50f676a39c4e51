"""Fixtures of the whole suite: the real servers that some tests need."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from hypothesis import HealthCheck, settings

from tests import servers
from tests.celeryworker import broker

# logfire's, which imports OpenTelemetry's SDK with pydantic: processes that the tests start are to be without either.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "logfire-plugin")

# On a machine that is busy an example may take long; CI, which is to find what a change broke, has the same ones in
# each run.
settings.register_profile(
    "suite",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    derandomize=os.environ.get("REQUIRE_SERVERS") == "1",
)
settings.load_profile("suite")


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The async SQLAlchemy URL of a real PostgreSQL: `DATABASE_URL`, else of a server for this run."""
    yield from _url("DATABASE_URL", servers.postgres)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The URL of a real Redis: `REDIS_URL`, else of a server for this run."""
    yield from _url("REDIS_URL", servers.redis)


@pytest.fixture
def broker_url() -> Iterator[str]:
    """The URL of a real Redis that has no workers but the test's: those of others would take its tasks."""
    with or_skip(), broker() as url:
        yield url


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    """The endpoint of a server that speaks S3: `S3_URL`, else of moto's for this run."""
    yield from _url("S3_URL", servers.s3)


@pytest.fixture(scope="session")
def amqp_url() -> Iterator[str]:
    """The URL of a real RabbitMQ: `AMQP_URL`, else of a server for this run."""
    yield from _url("AMQP_URL", servers.rabbitmq)


def _url(variable: str, start: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    if given := os.environ.get(variable):
        yield given
        return
    with or_skip(), start() as url:
        yield url


@contextmanager
def or_skip() -> Iterator[None]:
    """Skip the test where a server that it needs is not installed; fail it where `REQUIRE_SERVERS=1`."""
    try:
        yield
    except servers.AbsentError as absent:
        if os.environ.get("REQUIRE_SERVERS") == "1":
            pytest.fail(str(absent))
        pytest.skip(str(absent))
