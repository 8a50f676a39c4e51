"""Sentry in real servers: what arrives at the other end, as envelopes that the SDK's own parser reads."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from tests.celeryworker import SHOP as SOURCE
from tests.celeryworker import sending, working
from tests.integrations.envelopes import KEY, Sentry, receiving
from tests.processes.launch import DEADLINE, Process, Server, launch, wait_for
from tests.processes.several import connected

SECRET = "hunter2"
SHOP = (Path(__file__).parent / "applications" / "reporting.py").read_text(encoding="utf-8")
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def sentry() -> Iterator[Sentry]:
    with receiving() as receiver:
        yield receiver


def environment(sentry: Sentry, **more: str) -> dict[str, str]:
    return {"SENTRY_DSN": sentry.dsn, "APP_VERSION": "2026.11", "ENVIRONMENT": "local", **more}


def ask(process: Process, path: str, request_id: str) -> int | None:
    """Ask with secrets in every place that a request has; `None` where the answer broke off."""
    headers = {
        "X-Request-ID": request_id,
        "traceparent": f"00-{TRACE}-b7ad6b7169203331-01",
        "Authorization": f"Bearer {SECRET}-abcdefgh",
        "Cookie": f"session={SECRET}",
        "X-Api-Key": SECRET,
        "Content-Type": "application/json",
    }
    body = json.dumps({"password": SECRET, "name": "Ana"}).encode()
    try:
        return process.get(f"{path}?token={SECRET}&q=a", headers, method="POST", body=body).status
    except Exception:
        return None


def call(process: Process, path: str, request_id: str) -> None:
    """Open a WebSocket, which is refused or breaks."""
    address = f"ws://127.0.0.1:{process.port}{path}"
    headers = {"X-Request-ID": request_id}
    with (
        suppress(WebSocketException),
        connect(address, additional_headers=headers, open_timeout=DEADLINE) as websocket,
    ):
        websocket.recv(DEADLINE)


def kind(event: dict[str, Any]) -> str:
    """Return the type of an event's exception, or its message."""
    thrown = event.get("exception")
    return str(thrown["values"][-1]["type"] if thrown else event["message"])


EVENTS = {
    "/broken/7": ["RuntimeError"],
    "/sync/7": ["LookupError"],
    "/handled": ["ValueError", "by hand", "from a thread"],
    "/twice": ["TimeoutError"],
    "/background": ["ArithmeticError"],
    "/stream": ["EOFError"],
    "/status/503": ["HTTPException"],
    "/sub/acme/broken": ["NotImplementedError"],
    "/group": ["FileNotFoundError"],
    "/ws": ["BufferError"],
    "/refused": ["OverflowError"],
    "/status/404": [],
    "/status/401": [],
    "/items/x": [],
    "/nowhere": [],
    "/handler": [],
}
"""What is asked for, and the events that come of it, in their order."""
TEMPLATES = {"/broken/7": "/broken/{item_id}", "/sync/7": "/sync/{item_id}", "/status/503": "/status/{code}"}
TEMPLATES |= {"/sub/acme/broken": "/sub/{tenant}/broken"}


def test_one_event_of_each_error(tmp_path: Path, sentry: Sentry) -> None:
    """Each unhandled exception is one event, wherever it is raised; 4xx are none. Every event has the request's ids,
    user, bound fields, template and release; nothing that arrives shows a secret."""
    with launch("uvicorn", tmp_path, SHOP, environment=environment(sentry)) as process:
        for path in EVENTS:
            (call if path in {"/ws", "/refused"} else ask)(process, path, f"id{path.replace('/', '.')}")
        # What waits is sent before the service ends.
        assert process.stop() == -15
    expected = Counter((f"id{path.replace('/', '.')}", name) for path, names in EVENTS.items() for name in names)
    if "ArithmeticError" not in process.stdout:
        # Older Starlettes lose it themselves: nobody hears of it behind a BaseHTTPMiddleware.
        del expected["id.background", "ArithmeticError"]
    found = Counter((event["tags"]["request_id"], kind(event)) for event in sentry.events)
    assert found == expected
    assert {type_ for type_, _ in sentry.items} <= {"event", "client_report"}
    assert [text for text in (SECRET, "ana@example.com", "Ana") if text.encode() in sentry.raw] == []
    assert sentry.paths == {"/api/7/envelope/"}
    for event in sentry.events:
        path = next(path for path in EVENTS if event["tags"]["request_id"] == f"id{path.replace('/', '.')}")
        assert (event["release"], event["environment"]) == ("2026.11", "local")
        assert event["transaction"] == TEMPLATES.get(path, path)
        assert event["transaction_info"] == {"source": "route"}
        stacks = (event.get("exception") or event["threads"])["values"]
        assert all(each["stacktrace"]["frames"] for each in stacks[-1:])
        if path not in {"/ws", "/refused"}:
            assert event["tags"]["trace_id"] == event["contexts"]["trace"]["trace_id"] == TRACE
    (broken,) = [event for event in sentry.events if kind(event) == "RuntimeError"]
    assert broken["user"] == {"id": "u-7"}
    assert (broken["tags"]["user_id"], broken["tags"]["organization_id"]) == ("u-7", "acme")
    assert broken["extra"]["lines"] == "[{'password': '[redacted]'}]"
    cause, error = broken["exception"]["values"]
    assert error["value"] == "login with password=[redacted] failed for [redacted]"
    assert cause["type"] == "KeyError"
    assert error["mechanism"]["handled"] is False
    assert error["stacktrace"]["frames"][-1]["function"] == "broken"
    assert broken["request"]["query_string"] == "token=[redacted]&q=a"
    assert broken["request"]["headers"].keys() >= {"authorization", "cookie", "x-api-key"}
    assert "data" not in broken["request"]
    assert [crumb["message"] for crumb in broken["breadcrumbs"]["values"]] == ["before it with token=[redacted]"]


@pytest.mark.parametrize("server", ["granian", "hypercorn"])
def test_other_servers(server: Server, tmp_path: Path, sentry: Sentry) -> None:
    """One event of each error with the request's id there as well, and nothing is lost when the service ends."""
    paths = ("/broken/7", "/sync/7", "/handled", "/twice", "/stream", "/group", "/ws", "/refused", "/status/404")
    with launch(server, tmp_path, SHOP, environment=environment(sentry)) as process:
        for path in paths:
            (call if path in {"/ws", "/refused"} else ask)(process, path, f"id{path.replace('/', '.')}")
        process.stop()
    expected = Counter((f"id{path.replace('/', '.')}", name) for path in paths for name in EVENTS[path])
    assert Counter((event["tags"]["request_id"], kind(event)) for event in sentry.events) == expected
    assert {event["transaction"] for event in sentry.events} >= {"/broken/{item_id}", "/sync/{item_id}"}
    assert SECRET.encode() not in sentry.raw


def test_workers_of_a_preloaded_application(tmp_path: Path, sentry: Sentry) -> None:
    """Each worker that gunicorn forks sends its own, once; what the parent had is the parent's."""
    before = "import sentry_sdk\nsentry_sdk.capture_message('before the fork')\n"
    options = environment(sentry)
    with launch("gunicorn", tmp_path, SHOP + before, "--preload", workers=2, environment=options) as process:
        # By a connection to each: were one worker to answer many more, the SDK would drop what it has no room for.
        with connected(process, 2) as connections:
            for number in range(20):
                connection = connections[number % 2]
                answer = connection.ask("/pid", "POST", **{"X-Request-ID": f"r{number}"})
                assert answer.headers["x-pid"] == str(connection.pid)
        sentry.wait(lambda sentry: len(sentry.events) >= 21)
        assert process.stop() == 0
    assert Counter(map(kind, sentry.events)) == {"before the fork": 1, "PermissionError": 20}
    own = [event for event in sentry.events if kind(event) == "PermissionError"]
    assert {(event["tags"]["request_id"], event["tags"]["pid"]) for event in own} == {
        (f"r{number}", str(connections[number % 2].pid)) for number in range(20)
    }


def test_traces_and_profiles(tmp_path: Path, sentry: Sentry) -> None:
    """With rates of their own, requests are traced and profiled, by template, without secrets; probes are not. What
    fails when the application stops arrives as well."""
    import sentry_sdk

    rates = {"SENTRY_TRACES_SAMPLE_RATE": "1", "SENTRY_PROFILES_SAMPLE_RATE": "1.0", "FAIL": "1"}
    kind = "transaction" if int(sentry_sdk.VERSION.split(".")[0]) < 3 else "span"
    with launch("uvicorn", tmp_path, SHOP, environment=environment(sentry, **rates)) as process:
        for number in range(3):
            assert ask(process, f"/handled/{number}", f"r{number}") == 200
            process.get("/healthz")
            process.get("/metrics")
        assert process.stop() == -15
        names: Counter[str] = Counter()
        for each in sentry.of(kind):
            for one in each.get("items", [each]):
                if kind == "transaction" or one["is_segment"]:
                    names[one.get("transaction") or one["name"]] += 1
        assert names == {"/handled/{number}": 3}, process.stdout
    assert [type_ for type_, _ in sentry.items if type_.startswith("profile")] != []
    assert [event["exception"]["values"][-1]["type"] for event in sentry.events] == ["ConnectionAbortedError"]
    ids = [each["tags"]["request_id"] for each in sentry.of("transaction")]
    assert kind == "span" or sorted(ids) == ["r0", "r1", "r2"]
    assert SECRET.encode() not in sentry.raw


def test_tasks_of_celery(tmp_path: Path, sentry: Sentry, broker_url: str) -> None:
    """What fails in a process of a worker is one event with the ids of its lines; what is tried again is none."""
    own = "\nfrom belvedere import integrations\nbelvedere.observe(app, integrations.sentry())\n"
    variables = {"BROKER": broker_url, "BACKEND": broker_url, "QUEUE": "reported", **environment(sentry)}
    options = ["--concurrency=2", "--without-mingle"]
    headers = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    with (
        sending(broker_url, broker_url) as app,
        working(tmp_path, *options, environment=variables, source=SOURCE + own) as worker,
    ):
        assert app.send_task("shop.flaky", (2,), queue="reported").get(timeout=60)[0] == 2
        for _ in range(2):
            with pytest.raises(LookupError):
                app.send_task("shop.fails", queue="reported", headers=headers).get(timeout=60)
        assert worker.process.stop() == 0
    assert [(kind(event), event["transaction"]) for event in sentry.events] == [("LookupError", "shop.fails")] * 2
    failed = worker.told(event="task_processed", task_name="shop.fails")
    ids = {line.get("request_id") for line in failed}
    assert len(failed) == 2
    assert {event["tags"].get("request_id") for event in sentry.events} == ids
    assert None not in ids
    assert {line["trace_id"] for line in failed} == {TRACE}
    assert {event["tags"]["trace_id"] for event in sentry.events} == {TRACE}
    assert {event["contexts"]["trace"]["trace_id"] for event in sentry.events} == {TRACE}


@pytest.mark.parametrize("says", ["nothing", "no"])
def test_a_dead_sentry_keeps_nobody(says: str, tmp_path: Path) -> None:
    """With Sentry hanging or away, requests are answered as quickly, and the service stops within its bound."""
    with contextlib.closing(socket.socket()) as listening:
        listening.bind(("127.0.0.1", 0))
        if says == "nothing":
            listening.listen(64)
        dsn = f"http://{KEY}@127.0.0.1:{listening.getsockname()[1]}/7"
        variables = {"SENTRY_DSN": dsn, "ENVIRONMENT": "local", "QUEUE": "10"}
        with launch("uvicorn", tmp_path, SHOP, environment=variables) as process:
            slowest = 0.0
            for number in range(25):
                began = time.monotonic()
                assert ask(process, "/sync/7", f"r{number}") == 500
                slowest = max(slowest, time.monotonic() - began)
            assert slowest < 10.0  # where it waits for Sentry, it is 30
            wait_for(lambda: dropped(process) > 0, process)
            began = time.monotonic()
            assert process.stop() == -15
            assert time.monotonic() - began < 15.0
        assert KEY not in process.stdout + process.stderr
        lines = [json.loads(line) for line in process.stdout.splitlines()]
        told = [line for line in lines if line["event"] == "export_failed"]
        assert [(line["signal"], line["dropped"]) for line in told] == [("sentry", 1)]
        assert [line for line in lines if line["logger"].startswith("urllib3")] == []


def dropped(process: Process) -> float:
    """Return how many errors the service says were lost."""
    lines = process.get("/metrics").body.decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("belvedere_sentry_dropped_total{"))
