"""Real Celery workers, on Redis and on RabbitMQ, beside a web application that sends them tasks."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, chord, group
from fastapi import FastAPI

from belvedere import Settings, integrations, observe
from tests.celeryworker import SHOP, Worker, sending, working
from tests.drive import DEADLINE, ask, running, samples
from tests.ports import free_port
from tests.process import fresh_process
from tests.processes.launch import wait_for
from tests.processes.several import left_by
from tests.tracing.conftest import keeping
from tests.tracing.receiver import receiving

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"
RESULT = 60.0
"""Seconds that a result may take."""


@pytest.fixture(autouse=True)
def _own_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with fresh_process(monkeypatch):
        yield


@pytest.fixture(params=["redis", "rabbitmq"])
def broker(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue("broker_url" if request.param == "redis" else "amqp_url")
    return url


@pytest.fixture
def backend(broker_url: str) -> str:
    return broker_url


class Web:
    """A web application whose endpoint sends a task, or several."""

    def __init__(self, app: Celery, **settings: Any) -> None:
        self.celery = app
        self.fastapi = FastAPI()
        self.send: Callable[[], Any] = lambda: None
        health = {"payload": "full", "detailed": "/detailed", "cache": 0, "interval": 0.5}
        part = integrations.celery(app, queues=["idle"], timeout=10)
        self.obs = observe(
            self.fastapi,
            part,
            settings=Settings(service="web", logs={"format": "json"}, health=health, **settings),
        )

        @self.fastapi.post("/orders")
        async def order() -> None:
            self.result = self.send()

    async def request(self, send: Callable[[], Any], request_id: str) -> Any:
        """Have the endpoint run `send` in a request with this id and trace; return what that returned."""
        self.send = send
        headers = [(b"x-request-id", request_id.encode()), (b"traceparent", TRACEPARENT.encode())]
        assert (await ask(self.fastapi, "POST", "/orders", headers=headers)).status == 200
        return self.result


@pytest.fixture
def web(broker: str, backend: str) -> Iterator[Web]:
    with sending(broker, backend) as app:
        web = Web(app)
        yield web
        web.obs.remove()


@pytest.fixture
def worker(tmp_path: Path, broker: str, backend: str) -> Iterator[Worker]:
    environment = {"BROKER": broker, "BACKEND": backend}
    with working(
        tmp_path, "--concurrency=2", "--without-gossip", "--without-mingle", environment=environment
    ) as worker:
        yield worker


async def test_a_worker_beside_a_web_application(web: Web, worker: Worker, tmp_path: Path) -> None:
    """Ids cross into tasks and into those that they start; lines, metrics and probes tell of all processes; the check
    tells of the worker, and gauges of its queues."""
    task = web.celery.signature

    # One task: all its lines have the id, and there is one line about it.
    added = await web.request(lambda: task("shop.add", (1, 2)).delay(), "request-1")
    assert added.get(timeout=RESULT) == 3
    done = worker.wait(event="task_processed", task_id=added.id)
    assert [line["event"] for line in worker.told(request_id="request-1")] == [
        "adding",
        "as well",
        "added",
        "task_processed",
    ]
    assert {line["trace_id"] for line in worker.told(request_id="request-1")} == {TRACE}
    assert done["logger"] == "belvedere.tasks"
    assert (done["level"], done["task_name"], done["status"]) == ("info", "shop.add", "success")
    assert (done["queue"], done["retries"]) == ("celery", 0)
    assert done["latency_ms"] > 0
    assert done["order_id"] == 7

    # Those that it starts, in whatever way; what one has bound is not another's.
    async def ids(send: Callable[[], Any], request_id: str) -> Any:
        return (await web.request(send, request_id)).get(timeout=RESULT)

    one = task("shop.ids", ())
    assert await ids(one.delay, "request-2") == ["request-2", TRACEPARENT]
    started = await ids(lambda: task("shop.starts", ()).delay(), "request-3")
    assert web.celery.AsyncResult(started).get(timeout=RESULT) == ["request-3", TRACEPARENT]
    assert await ids((one.clone() | one.clone() | one.clone()).delay, "chain") == ["chain", TRACEPARENT]
    assert await ids(lambda: group([one, one]).delay(), "group") == [["group", TRACEPARENT]] * 2
    assert await ids(lambda: chord([one, one], one).delay(), "chord") == ["chord", TRACEPARENT]
    assert await ids(lambda: one.apply_async(countdown=0.1), "eta") == ["eta", TRACEPARENT]
    assert await ids(lambda: one.apply_async(headers={"traceparent": TRACEPARENT[:-1] + "0"}), "own") == [
        "own",
        TRACEPARENT[:-1] + "0",
    ]
    tried = await web.request(lambda: task("shop.flaky", (2,)).apply_async(headers={"own": "header"}), "request-4")
    assert tried.get(timeout=RESULT) == [2, "request-4", "header"]
    assert [line.get("order_id") for line in worker.told(task_name="shop.ids")].count(7) == 0
    failed = await web.request(lambda: task("shop.fails", ()).delay(), "request-5")
    with pytest.raises(LookupError):
        failed.get(timeout=RESULT)

    # Without any id, one is made.
    made, _ = one.delay().get(timeout=RESULT)
    assert len(made) == 36

    # What Celery writes about tasks itself is one line of ours.
    failure = worker.wait(task_id=failed.id)
    assert (failure["level"], failure["status"], failure["request_id"]) == ("error", "failure", "request-5")
    assert failure["exception"].endswith("LookupError: lost")
    assert len(worker.told(task_id=failed.id)) == 1
    assert sum("LookupError" in str(line) for line in worker.lines) == 1
    worker.wait(task_id=tried.id, status="success")
    # Of several processes; each tells when it has sent the next try, which another may have finished by then.
    wait_for(lambda: len(worker.told(task_id=tried.id, status="retry")) >= 2, worker.process)
    retries = worker.told(task_id=tried.id, status="retry")
    assert sorted((line["level"], line["exception_message"]) for line in retries) == [
        ("warning", "try 0"),
        ("warning", "try 1"),
    ]
    assert not [line for line in worker.lines if line["logger"].startswith(("celery.app.trace", "celery.worker.strat"))]

    # The metrics of all its processes.
    counted = worker.samples("celery_", "shop_packed")
    assert counted['celery_tasks_total{task_name="shop.add",status="success"}'] == 1
    assert counted['celery_tasks_total{task_name="shop.flaky",status="retry"}'] == 2
    assert counted['celery_tasks_total{task_name="shop.flaky",status="success"}'] == 1
    assert counted['celery_tasks_total{task_name="shop.fails",status="failure"}'] == 1
    assert counted['celery_task_retries_total{task_name="shop.flaky"}'] == 2
    assert counted['celery_task_duration_seconds_count{task_name="shop.flaky"}'] == 3
    assert counted["shop_packed_total"] == 1
    assert not any(name.startswith("http_requests") for name in worker.samples("http_", "belvedere_"))
    assert worker.process.get("/healthz").json() == {"status": "ok"}
    assert worker.process.get("/absent").status == 404

    # A process that is lost takes its task with it: told once, by the one that waits; so is what is taken back.
    lost = {
        "failure": await web.request(lambda: task("shop.dies", ()).delay(), "request-6"),
        "revoked": await web.request(lambda: task("shop.pid", ()).apply_async(expires=-1), "request-7"),
    }
    for status, result in lost.items():
        told = worker.wait(task_id=result.id)
        assert (told["status"], "latency_ms" in told) == (status, False)
    hung = await web.request(lambda: task("shop.hangs", ()).delay(), "request-8")
    assert worker.wait(task_id=hung.id)["request_id"] == "request-8"
    wait_for(lambda: len(worker.told(logger="multiprocessing")) == 2 == len(worker.pool()), worker.process)
    assert one.delay().get(timeout=RESULT)
    assert [len(worker.told(task_id=result.id)) for result in (*lost.values(), hung)] == [1, 1, 1]
    after = worker.samples("celery_tasks_total")
    for name, status in (("dies", "failure"), ("pid", "revoked"), ("hangs", "failure")):
        assert after[f'celery_tasks_total{{task_name="shop.{name}",status="{status}"}}'] == 1
    assert all(after[name] >= count for name, count in counted.items() if name in after)

    # The check and the gauges of the web application.
    for priority in (0, 5, 9):
        web.celery.send_task("shop.pid", queue="idle", priority=priority)
    async with running(web.fastapi):
        (name,) = [line["event"] for line in worker.lines if line["event"].endswith(" ready.")]
        check: dict[str, Any] = {}
        async with asyncio.timeout(DEADLINE):
            while check.get("active_tasks") != 0:  # a worker that has sent a result counts its task for a moment more
                answer = (await ask(web.fastapi, path="/detailed")).json()
                assert answer["status"] == "healthy"
                check = answer["checks"]["celery"]
        assert check["worker_count"] == 1
        assert check["workers"] == [name.removesuffix(" ready.")]
        expected = {
            'celery_queue_length{queue="idle"}': 3,
            'celery_queue_length{queue="celery"}': 0,
            'celery_workers_active{queue="idle"}': 0,
            'celery_workers_active{queue="celery"}': 1,
        }
        shown: dict[str, float] = {}
        ends = time.monotonic() + DEADLINE
        while (
            shown != expected and time.monotonic() < ends
        ):  # the start waits for no look, and one shows each by itself
            await asyncio.sleep(0.02)
            shown = await samples(web.fastapi, "celery_queue_length", "celery_workers_active")
        assert shown == expected
    purged = web.celery.connection_for_write()
    with purged:
        purged.default_channel.queue_purge("idle")

    # Its end.
    process = worker.process
    assert process.stop(signal.SIGTERM) == 0
    assert [line["event"] for line in worker.lines if line["event"].startswith("application_")] == [
        "application_starting",
        "application_started",
        "application_stopped",
    ]
    assert worker.told(event="internal_error") == []
    assert left_by(process.pid) == []


def test_processes_that_are_replaced(tmp_path: Path, broker_url: str) -> None:
    """A worker whose process is replaced after some tasks, or killed, counts on, and leaves nothing when it ends."""
    environment = {"BROKER": broker_url, "BACKEND": broker_url, "QUEUE": "replaced"}
    options = ["--concurrency=1", "--max-tasks-per-child=2", "--without-mingle"]
    with (
        sending(broker_url, broker_url) as app,
        working(tmp_path, *options, environment=environment) as worker,
    ):

        def packed(times: int) -> float:
            for _ in range(times):
                result = app.send_task("shop.add", (1, 1), queue="replaced")
                assert result.get(timeout=RESULT) == 2
                worker.wait(task_id=result.id)
            return worker.samples("shop_packed_total")["shop_packed_total"]

        first = worker.pool()
        assert packed(2) == 2
        wait_for(lambda: len(worker.pool()) == 1 and worker.pool() != first, worker.process)
        assert packed(1) == 3
        (second,) = worker.pool()
        os.kill(second, signal.SIGKILL)
        assert packed(0) == 3
        wait_for(lambda: len(worker.pool()) == 1 and worker.pool() != [second], worker.process)
        assert packed(1) == 4
        assert worker.process.stop(signal.SIGTERM) == 0
        assert worker.told(event="internal_error") == []
        assert left_by(worker.process.pid) == []


CHECKED = f"""{SHOP}
from pathlib import Path

from sqlalchemy import create_engine, text

engine = create_engine("sqlite:///shop.db")


@app.task
def asks():
    with engine.connect() as connection:
        return connection.execute(text("SELECT 1")).scalar()


def database():
    return Path("up").exists()


observed = belvedere.observe(
    app,
    belvedere.integrations.sqlalchemy(engine, critical=False, probes=("detailed",)),
    belvedere.Check("flag", database, message="Flag is down"),
)
assert belvedere.observe(app) is observed
"""


async def test_one_trace(tmp_path: Path, broker_url: str) -> None:
    """A request, the tasks that it sends and those that they start are one trace, whole when the worker has ended,
    whatever its processes had not sent by then; checks of its parts make it ready; it drains."""
    kept = keeping()
    with receiving() as collector, sending(broker_url, broker_url) as celery:
        environment = {
            "BROKER": broker_url,
            "BACKEND": broker_url,
            "QUEUE": "traced",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.http,
            "OTEL_BSP_SCHEDULE_DELAY": "60000",
            "BELVEDERE_HEALTH__CACHE": "0",
            "BELVEDERE_HEALTH__DETAILED": "/detailed",
        }
        flag = tmp_path / "up"
        flag.touch()
        web = Web(celery, tracing={"provider": kept.provider})
        options = ["--concurrency=1", "--without-mingle"]
        with working(tmp_path, *options, environment=environment, source=CHECKED) as worker:
            task = celery.signature("shop.starts", (), queue="traced")
            started = (await web.request(task.delay, "request-1")).get(timeout=RESULT)
            assert celery.AsyncResult(started).get(timeout=RESULT)[0] == "request-1"
            assert celery.send_task("shop.asks", queue="traced").get(timeout=RESULT) == 1
            worker.wait(event="task_processed", task_name="shop.asks")
            lines = {line["task_name"]: line for line in worker.told(event="task_processed")}

            flag.unlink()
            answer = worker.process.get("/readyz")
            assert (answer.status, answer.json()) == (
                503,
                {"status": "not_ready", "checks": {"flag": "failed"}, "error": "Flag is down"},
            )
            assert worker.process.get("/detailed").json()["checks"]["database"] == "ok"
            assert worker.process.get("/healthz").status == 200
            flag.touch()
            queries = worker.samples("database_queries_total")
            assert queries == {'database_queries_total{operation="SELECT",table="other"}': 1}

            # While the last task runs, it is draining, and still there.
            slow = celery.send_task("shop.waits", (str(tmp_path / "over"),), queue="traced")
            worker.wait(event="waiting")
            worker.process.signal(signal.SIGTERM)
            wait_for(lambda: worker.process.get("/readyz").json().get("error") == "Draining", worker.process)
            (tmp_path / "over").touch()
            assert worker.process.ended() == 0
            assert slow.get(timeout=RESULT) is None
        web.obs.remove()
        server, sent = kept.one("POST /orders"), kept.one("send shop.starts")
        assert server.context
        assert sent.context
        spans = {span.item.name: span for span in collector.spans if span.trace_id == TRACE}
        assert set(spans) == {"process shop.starts", "send shop.ids", "process shop.ids"}
        first, second, third = spans["process shop.starts"], spans["send shop.ids"], spans["process shop.ids"]
        assert first.item.parent_span_id.hex() == f"{sent.context.span_id:016x}"
        assert (second.item.parent_span_id, third.item.parent_span_id) == (first.item.span_id, second.item.span_id)
        assert (first.item.kind, second.item.kind) == (5, 4)  # CONSUMER, PRODUCER
        assert first.attributes["messaging.system"] == "redis"
        assert first.attributes["messaging.destination.name"] == "traced"
        assert first.attributes["celery.status"] == "success"
        assert first.attributes["belvedere.request_id"] == "request-1"
        assert first.resource["service.name"] == "shop"
        assert {name: line["span_id"] for name, line in lines.items() if name in {"shop.starts", "shop.ids"}} == {
            "shop.starts": first.span_id,
            "shop.ids": third.span_id,
        }
        assert {line["trace_id"] for line in worker.told(request_id="request-1")} == {TRACE}


def test_before_the_broker(tmp_path: Path) -> None:
    """While the broker is away, the worker lives and is not ready, and can be stopped; a wrong setting stops it."""
    port = free_port()
    environment = {"BROKER": f"redis://127.0.0.1:{free_port()}/0", "BELVEDERE_METRICS__PORT": str(port)}
    with working(tmp_path, "--pool=threads", environment=environment, served=False) as worker:
        worker.process.port = port
        wait_for(worker.process.serves, worker.process)
        assert worker.process.get("/readyz").json() == {"status": "not_ready", "checks": {}, "error": "Starting"}
        worker.process.stop(signal.SIGTERM)
    environment["BELVEDERE_METRICS__PORT"] = "many"
    with working(tmp_path, environment=environment, served=False) as worker:
        assert worker.process.ended() != 0
        assert "metrics.port (BELVEDERE_METRICS__PORT)" in worker.process.stderr
