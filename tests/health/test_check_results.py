"""What counts as a check and as its failure, and what is told of a result: to probes, metrics and the log."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any

import pytest

from belvedere import failures
from belvedere.health import Health
from belvedere.parts import Check
from tests.health.conftest import Clock, Log, Make, checks, get

Anything = Callable[[], Any]


async def test_two_checks_of_one_name_are_refused(make: Make) -> None:
    """A second check of the same name raises, saying what to do; once the first is discarded, the name is free."""
    health = make()
    first = Check("database", lambda: None)
    health.add(first)
    with pytest.raises(ValueError, match="there is a check named 'database' already: give this one another name"):
        health.add(Check("database", lambda: None))
    health.discard(Check("database", lambda: None))
    assert len(health.describe()["checks"]) == 1
    health.discard(first)
    health.discard(first)
    health.add(Check("database", lambda: None))


async def raising() -> None:
    raise ValueError("password=hunter2")


async def exiting() -> None:
    raise SystemExit(3)


async def refusing() -> bool:
    return False


async def cancelled() -> None:
    raise asyncio.CancelledError


async def stopping() -> None:
    raise GeneratorExit


def exiting_in_a_thread() -> None:
    raise SystemExit(3)


def stopping_in_a_thread() -> None:
    raise StopIteration


async def hanging() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (raising, "ValueError"),
        (exiting, "SystemExit"),
        (refusing, "returned False"),
        (cancelled, "CancelledError"),
        (exiting_in_a_thread, "SystemExit"),
        (stopping_in_a_thread, "StopIteration"),
        (hanging, "timed out after 0.01 s"),
    ],
)
async def test_whatever_goes_wrong_is_a_failed_check(make: Make, log: Log, call: Anything, reason: str) -> None:
    """A check that raises, returns `False` or takes too long has failed, and the log names the reason alone."""
    health = make()
    health.add(Check("database", call, timeout=0.01 if call is hanging else 5.0))
    response = await get(health, "/readyz")
    assert (response.status_code, response.text) == (
        503,
        '{"status":"not_ready","checks":{"database":"failed"},"error":"Database check failed"}',
    )
    (line,) = log
    error = line.fields.pop("exc_info", None)
    assert line == (
        "warning",
        "check_failed",
        {"check": "database", "critical": True, "seconds": 0.0, "reason": reason},
    )
    assert error is None or type(error).__name__ == reason


class Ping:
    async def __call__(self) -> None:
        return None


async def passing(answer: Any = None) -> Any:
    return answer


def awaitable_from_a_thread() -> Awaitable[Any]:
    return passing()


@pytest.mark.parametrize(
    "call",
    [passing, functools.partial(passing, {}), Ping(), awaitable_from_a_thread, lambda: None, lambda: 0],
    ids=["function", "partial", "object", "lambda that returns an awaitable", "sync", "falsy but not False"],
)
async def test_whatever_can_be_called_is_a_check(make: Make, call: Anything) -> None:
    """Async and sync functions, partials of them and objects are checks; only `False` is a failure."""
    health = make()
    health.add(Check("database", call))
    assert await checks(health) == {"database": "ok"}


async def test_every_run_is_told_for_metrics(make: Make, clock: Clock) -> None:
    """`on_result` gets name, outcome and seconds of each run, and what it raises is contained."""
    health = make()

    async def database() -> None:
        clock.seconds += 0.25

    results: list[tuple[str, bool, float]] = []
    health.on_result = lambda *result: results.append(result)
    health.add(Check("database", database))
    await checks(health)
    await checks(health)
    assert results == [("database", True, 0.25)]

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    health.on_result = broken
    clock.seconds += 10
    before = failures.counts["health"]
    assert await checks(health) == {"database": "ok"}
    assert failures.counts["health"] == before + 1


async def test_failure_and_recovery_are_logged_when_they_begin(make: Make, log: Log) -> None:
    """A check that goes on failing, or passing, is not logged again."""
    health = make(cache=0)
    error: Exception | None = None

    async def search() -> None:
        if error is not None:
            raise error

    health.add(Check("search", search, critical=False))
    await checks(health)
    assert log == []
    error = ValueError("gone")
    await checks(health)
    await checks(health)
    fields = {"check": "search", "critical": False, "seconds": 0.0}
    failed = ("warning", "check_failed", {**fields, "reason": "ValueError", "exc_info": error})
    assert log == [failed]
    error = None
    await checks(health)
    await checks(health)
    assert log == [failed, ("info", "check_recovered", fields)]


async def test_without_a_logger_nothing_is_logged(clock: Clock) -> None:
    """A health without a logger runs its checks all the same."""
    from belvedere.settings import Settings

    health = Health(Settings(health=None), None, clock=clock)
    health.add(Check("database", refusing))
    assert await checks(health) == {"database": "failed"}


class Connection:
    def __str__(self) -> str:
        return "postgresql://app:hunter2@db"


@pytest.mark.parametrize(
    ("details", "shown"),
    [
        (
            {"size": 3, "share": Decimal("0.5"), "path": PurePosixPath("/data"), 1: {"b"}},
            {"size": 3, "share": "0.5", "path": "/data", "1": ["b"]},
        ),
        (
            {"last_error": ValueError("hunter2"), "connection": Connection()},
            {"last_error": "ValueError", "connection": "Connection"},
        ),
        (
            {"password": "hunter2", "url": "redis://:hunter2@cache:6379/0"},
            {"password": "[redacted]", "url": "redis://:[redacted]@cache:6379/0"},
        ),
        ({"ratio": float("nan")}, {"ratio": None}),
        ({"huge": 2**70}, {}),
    ],
)
async def test_details_are_json_and_tell_no_secret(make: Make, details: dict[Any, Any], shown: dict[str, Any]) -> None:
    """Details are shown as JSON: unknown objects by their type, secrets redacted, what cannot be shown left out."""
    health = make(payload="full")

    async def database() -> dict[Any, Any]:
        return details

    health.add(Check("database", database))
    assert await checks(health) == {"database": {"status": "healthy", "latency_ms": 0.0, **shown}}


async def test_details_within_mappings(make: Make) -> None:
    """Mappings that are no dictionaries are details as well, at any depth."""
    from types import MappingProxyType

    health = make(payload="full")
    health.add(Check("database", lambda: MappingProxyType({"pool": MappingProxyType({"size": 3})})))
    assert await checks(health) == {"database": {"status": "healthy", "latency_ms": 0.0, "pool": {"size": 3}}}
