"""Counting in a real Redis: all processes together, and each for itself while Redis is away, slow or unwilling."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request

import belvedere
from belvedere import RateLimiter
from belvedere.ratelimit.policy import policies
from tests.conftest import or_skip
from tests.drive import ask, observed, running, samples, written
from tests.ratelimit.store import PASSWORD, Redis, redis

STRATEGIES = ("fixed", "moving", "sliding")
PATIENT = 10.0
"""Seconds that a limiter waits for a Redis that is well: the tests of others may have the machine meanwhile."""
GONE, BACK = "rate_limit_store_unavailable", "rate_limit_store_recovered"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Redis]:
    with or_skip(), redis(tmp_path) as server:
        yield server


def limited(limiter: RateLimiter, text: str = "5/minute", **options: Any) -> FastAPI:
    """Return an application with one limited route."""
    app = FastAPI()
    app.get("/", dependencies=[limiter.limit(text, **options)])(lambda: "a")
    return app


@asynccontextmanager
async def serving(
    store: Redis, text: str = "5/minute", timeout: float = PATIENT, **options: Any
) -> AsyncIterator[tuple[FastAPI, RateLimiter]]:
    """Run an observed application with a limit in that Redis, its lifespan included."""
    limiter = RateLimiter(store.url, timeout=timeout, **options)
    app = limited(limiter, text)
    with observed(app, limiter, metrics={}):
        async with running(app):
            yield app, limiter


async def statuses(app: Any, count: int, **options: Any) -> list[int | None]:
    return [(await ask(app, **options)).status for _ in range(count)]


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Return when `condition` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.02)


def events(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The events about the store since the last call."""
    return [line for line in written(capsys) if line["event"] in {GONE, BACK}]


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_processes_count_together(store: Redis, strategy: str) -> None:
    """Two limiters on one Redis are one, of 40 requests at once exactly the limit passes, and headers are right."""
    async with (
        serving(store, "20/minute", strategy=strategy) as (one, _),
        serving(store, "20/minute", strategy=strategy) as (other, limiter),
    ):
        answers = await asyncio.gather(*(ask(app) for app in (one, other) * 20))
        assert sorted(answer.status or 0 for answer in answers) == [200] * 20 + [429] * 20
        left = [answer.all("ratelimit")[0].split(";")[1] for answer in answers if answer.status == 200]
        assert "r=0" in left
        for answer in answers:
            if answer.status == 429:
                (after,) = answer.all("retry-after")
                assert 1 <= int(after) <= 60
        assert limiter.shared is not None
        assert not limiter.shared.availability.away


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_whoever_waits_as_told_is_let_through(store: Redis, strategy: str) -> None:
    """`Retry-After` is long enough, though Redis rounds the time that a key has left."""
    async with serving(store, "2/second", strategy=strategy) as (app, _):
        for _ in range(2):
            answers = [await ask(app) for _ in range(3)]
            while answers[-1].status == 200:  # a slow machine
                answers.append(await ask(app))
            await asyncio.sleep(int(answers[-1].all("retry-after")[0]) + 0.005)
            assert (await ask(app)).status == 200


def costing(limiter: RateLimiter, text: str) -> FastAPI:
    """Return an application whose requests say themselves what they cost."""
    return limited(limiter, text, cost=lambda request: int(request.headers["x-cost"]))


def costs(amount: int) -> dict[str, Any]:
    return {"headers": [(b"x-cost", str(amount).encode())]}


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_what_is_refused_takes_nothing_whatever_it_costs(store: Redis, strategy: str) -> None:
    """As in memory: what costs more than is left leaves it to whoever asks for less, and says how much that is."""
    for url in (None, store.url):
        limiter = RateLimiter(url, strategy=strategy, timeout=PATIENT)
        app = costing(limiter, "10/hour")
        with observed(app, limiter):
            async with running(app):
                answers = [await ask(app, **costs(cost)) for cost in (11, 7, 4, 4, 3, 1, 11)]
                told = [answer.all("ratelimit")[0].split(";")[1] for answer in answers]
                assert [answer.status for answer in answers] == [429, 200, 429, 429, 200, 429, 429], url
                assert told == ["r=10", "r=3", "r=3", "r=3", "r=0", "r=0", "r=0"], url


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_processes_count_costs_together(store: Redis, strategy: str) -> None:
    """Of requests of several costs at once, by two processes, as many pass as the limit has room for, and no more."""
    one, other = (RateLimiter(store.url, strategy=strategy, timeout=PATIENT) for _ in range(2))
    apps = [costing(limiter, "20/hour") for limiter in (one, other)]
    with observed(apps[0], one), observed(apps[1], other):
        async with running(apps[0]), running(apps[1]):
            answers = await asyncio.gather(*(ask(app, **costs(3)) for app in apps * 15))
            assert [answer.status for answer in answers].count(200) == 6
            rest = await asyncio.gather(*(ask(app, **costs(1)) for app in apps * 5))
            assert [answer.status for answer in rest].count(200) == 2


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_whoever_waits_as_told_is_let_through_at_its_cost(store: Redis, strategy: str) -> None:
    """`Retry-After` is the time until there is room for what was asked for, not for a request of 1."""
    limiter = RateLimiter(store.url, strategy=strategy, timeout=PATIENT)
    app = costing(limiter, "8/2 seconds")
    with observed(app, limiter):
        async with running(app):
            assert (await ask(app, **costs(2))).status == 200
            await asyncio.sleep(1.3)  # so that what is left comes back in two parts
            answers = [await ask(app, **costs(6)) for _ in range(2)]
            while answers[-1].status == 200:  # a slow machine
                answers.append(await ask(app, **costs(6)))
            (seconds,) = answers[-1].all("retry-after")
            assert int(seconds) <= 4
            await asyncio.sleep(int(seconds) + 0.005)
            assert (await ask(app, **costs(6))).status == 200


async def test_one_round_trip_for_each_request_and_one_connection(store: Redis) -> None:
    """A hit and what is left are asked for together; so are those of requests at the same time."""
    async with serving(store, "1000/minute") as (app, _):
        await ask(app)
        before = int(store_info(store, "total_connections_received"))
        reads = int(store_info(store, "total_reads_processed"))
        await asyncio.gather(*(ask(app) for _ in range(100)))
        for _ in range(10):
            await ask(app)
        # One connection and two reads are those of each question to `INFO` itself.
        assert int(store_info(store, "total_connections_received")) - before <= 6
        assert int(store_info(store, "total_reads_processed")) - reads <= 40


def store_info(store: Redis, name: str) -> str:
    """Return one figure that Redis tells of itself."""
    import redis as client

    with client.Redis.from_url(store.url) as connection:
        return str(connection.info()[name])


async def test_no_secret_is_in_redis(store: Redis) -> None:
    """API keys, users and what callables return are hashed; services do not meet."""
    limiter = RateLimiter(store.url, key="header:X-API-Key", timeout=PATIENT)
    app = limited(limiter)

    @app.get("/user", dependencies=[limiter.limit("5/minute", key=lambda request: request.headers["x-user"])])
    async def user(request: Request) -> None: ...

    with observed(app, limiter):
        await ask(app, headers=[(b"x-api-key", b"key-of-alice")])
        await ask(app, path="/user", headers=[(b"x-user", b"alice@example.org")])
        await ask(app)
        await limiter.close()
    keys = store.keys()
    assert "belvedere:shop:" in keys
    assert "127.0.0.1" in keys
    assert "alice" not in keys


@pytest.mark.parametrize("way", ["stopped", "frozen", "paused"])
async def test_away_and_back(store: Redis, way: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Local limits take over, nobody waits long and only the first wait at all; told once; back by itself."""
    away: dict[str, Callable[[], object]] = {
        "stopped": store.stop,
        "frozen": store.freeze,
        "paused": lambda: store.command("CLIENT", "PAUSE", "600000", "WRITE"),
    }
    back: dict[str, Callable[[], object]] = {
        "stopped": store.start,
        "frozen": store.thaw,
        "paused": lambda: store.command("CLIENT", "UNPAUSE"),
    }
    async with serving(store, "5/minute", timeout=1.0) as (app, limiter):
        assert limiter.shared is not None
        assert await statuses(app, 6) == [200] * 5 + [429]
        away[way]()
        started = time.perf_counter()
        answers = await asyncio.gather(*(ask(app, client=("192.0.2.1", 1)) for _ in range(20)))
        first = time.perf_counter() - started
        assert sorted(answer.status or 0 for answer in answers) == [200] * 5 + [429] * 15
        assert all(answer.all("ratelimit") for answer in answers)
        started = time.perf_counter()
        assert await statuses(app, 25) == [429] * 25  # refused by Redis before, and so here
        assert await statuses(app, 25, client=("192.0.2.1", 1)) == [429] * 25
        rest = time.perf_counter() - started
        # A second for those who met it first, together, and nothing for others; at most ten where this process has so
        # few turns that its timers come late. Had each waited, it would be 20 s and 50 s.
        assert first < 15
        assert rest < 20
        assert "away" in belvedere.observe(app).report()["rate limits"]["why"]
        counted = await samples(app, "belvedere_rate_limit")
        assert counted == {
            'belvedere_rate_limit_decisions_total{limit="GET /",outcome="allowed"}': 10,
            'belvedere_rate_limit_decisions_total{limit="GET /",outcome="refused"}': 66,
            'belvedere_rate_limit_decisions_total{limit="GET /",outcome="local"}': 70,
        }
        back[way]()
        await until(lambda: limiter.shared is not None and not limiter.shared.availability.away)
        expected = [200] * 5 + [429] if way == "stopped" else [429] * 6
        assert await statuses(app, 6) == expected
        gone, found = events(capsys)
        assert (gone["event"], gone["level"], gone["store"]) == (GONE, "warning", store.name)
        assert (found["event"], found["level"], found["store"]) == (BACK, "info", store.name)
        assert found["seconds"] > 0
        assert "request_id" in gone
        assert "request_id" not in found  # that request is long over
        assert "away" not in belvedere.observe(app).report()["rate limits"]["why"]


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"), "OutOfMemoryError"),
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), "ReadOnlyError"),
        (("ACL", "SETUSER", "default", "-eval", "-evalsha"), ("ACL", "SETUSER", "default", "+@all"), "NoPermission"),
    ],
)
async def test_a_redis_that_counts_nothing_is_away(
    store: Redis, before: tuple[str, ...], after: tuple[str, ...], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Full, read-only or not allowed: it answers a ping, and is left alone until it counts again."""
    async with serving(store) as (app, limiter):
        store.command(*before)
        assert await statuses(app, 6) == [200] * 5 + [429]
        assert limiter.shared is not None
        with pytest.raises(Exception, match=r"."):
            await limiter.shared.probe()
        assert limiter.shared.availability.away
        store.command(*after)
        await until(lambda: limiter.shared is not None and not limiter.shared.availability.away)
        assert await statuses(app, 5) == [200] * 5
        gone, _ = events(capsys)
        assert reason in gone["reason"]


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_what_redis_forgets_or_closes_is_no_failure(
    store: Redis, strategy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Scripts that were flushed are sent again, connections that Redis closed are opened again."""
    async with serving(store, strategy=strategy) as (app, _):
        assert await statuses(app, 2) == [200] * 2
        store.command("SCRIPT", "FLUSH")
        assert await statuses(app, 2) == [200] * 2
        store.command("CLIENT", "KILL", "TYPE", "normal")
        await asyncio.sleep(0.05)  # until the client's side has it
        assert await statuses(app, 2) == [200, 429]
        assert events(capsys) == []


async def test_a_wrong_password_is_in_no_log(store: Redis, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the password of the URL nor the URL itself is logged, whoever handles the log."""
    limiter = RateLimiter(store.url.replace(PASSWORD, "wr0ng%2Fsecret") + "?socket_keepalive=true")
    app = limited(limiter)
    with caplog.at_level(logging.DEBUG):
        assert await statuses(app, 6) == [200] * 5 + [429]
    (record,) = [record for record in caplog.records if record.message == GONE]
    assert record.__dict__["store"] == store.name
    assert "wr0ng" not in json.dumps([record.__dict__ for record in caplog.records], default=str)
    await limiter.close()


async def test_a_held_up_loop_is_not_a_slow_redis(store: Redis, capsys: pytest.CaptureFixture[str]) -> None:
    """An endpoint that blocks the event loop for longer than the time-out does not make Redis look slow."""
    async with serving(store, "100/minute", timeout=1.0) as (app, limiter):
        app.get("/blocking")(lambda: None)
        for _ in range(3):
            question = asyncio.create_task(ask(app))
            await asyncio.sleep(0.0005)
            time.sleep(1.2)  # noqa: ASYNC251 - what an application should not do
            assert (await question).status == 200
        assert limiter.shared is not None
        assert not limiter.shared.availability.away
        assert events(capsys) == []


async def test_a_client_that_leaves_breaks_nothing(store: Redis, capsys: pytest.CaptureFixture[str]) -> None:
    """Requests that are cancelled while they wait for Redis leave the others and the connection as they are."""
    async with serving(store, "50/minute") as (app, limiter):
        questions = [asyncio.create_task(ask(app)) for _ in range(40)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for question in questions[::2]:
            question.cancel()
        answers = await asyncio.gather(*questions, return_exceptions=True)
        assert all(getattr(answer, "status", 200) in {200, None} for answer in answers)
        assert set(await statuses(app, 60)) == {200, 429}
        assert limiter.shared is not None
        assert not limiter.shared.availability.away
        assert events(capsys) == []


def test_each_event_loop_has_connections_of_its_own(store: Redis) -> None:
    """One limiter serves one event loop after the other, without a lifespan, and counts on."""
    limiter = RateLimiter(store.url, timeout=PATIENT)
    app = limited(limiter, "3/minute")

    async def once() -> list[int | None]:
        try:
            return await statuses(app, 2)
        finally:
            await limiter.close()

    assert [asyncio.run(once()) for _ in range(2)] == [[200, 200], [200, 429]]


async def test_its_check_is_a_health_check(store: Redis) -> None:
    """`limiter.check()` says whether Redis counts; readiness shows it by name."""
    limiter = RateLimiter(store.url, timeout=PATIENT)
    app = limited(limiter)
    check = limiter.check(critical=True, timeout=2 * PATIENT)
    with observed(app, limiter, check, health={"cache": 0, "interval": 0}):
        ready = await ask(app, path="/readyz")
        assert (ready.status, ready.json()["checks"]) == (200, {"redis": "ok"})
        store.stop()
        failing = await ask(app, path="/readyz")
        assert (failing.status, failing.json()["checks"]) == (503, {"redis": "failed"})
        await limiter.close()


async def test_its_check_asks_over_the_connection_of_the_limits(store: Redis) -> None:
    """There is no other one, which nobody would close when the application stops."""
    limiter = RateLimiter(store.url, timeout=PATIENT)
    app = limited(limiter)
    with observed(app, limiter, limiter.check(timeout=2 * PATIENT), health={"cache": 0, "interval": 0}):
        async with running(app):
            assert (await ask(app, path="/readyz")).status == 200
            assert store_info(store, "connected_clients") == "2"  # that of the question itself is one
        await until(lambda: store_info(store, "connected_clients") == "1")


async def test_a_redis_that_goes_again_soon_has_to_answer_more_often(store: Redis) -> None:
    """One that comes and goes each second is not used and left each second."""
    limiter = RateLimiter(store.url, timeout=PATIENT)
    assert limiter.shared is not None
    availability, policy = limiter.shared.availability, policies("5/minute", None)[0]
    availability._interval = 0.01
    needed = []
    for _ in range(6):
        availability.lost(ConnectionError())
        needed.append(availability._needed)
        assert await limiter.take_shared(policy, "", "key", 1) is None
        await until(lambda: not availability.away)
    assert needed == [1, 2, 4, 8, 16, 16]
    await limiter.close()
