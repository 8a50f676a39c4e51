"""The service as a process of its own, from its start to the signal that ends it."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import make_url

from tests.examples.scholarships.databases import prepare
from tests.examples.scholarships.test_list import NORTHERN_LIGHTS
from tests.ports import free_port
from tests.processes import launch
from tests.tracing.receiver import receiving

ROOT = Path(__file__).parents[3]
URL = re.compile(r"http://[0-9.]+:[0-9]+")
UNSAFE = """\
The Scholarship API cannot start; these settings are missing, malformed or unsafe:
  DATABASE_URL  is missing or SQLite: it has to be PostgreSQL, postgresql+asyncpg://user:password@host/name
  JWT_ISSUER    is missing
  JWT_AUDIENCE  is missing
  JWT_KEYS      is missing
"""
PASSWORD = re.compile(r"each with the password (\S+), and a change")


def environment(folder: Path, **variables: str) -> dict[str, str]:
    own = {
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT / "examples")]),
        "PYTHONWARNINGS": "error",
        "DATABASE_URL": f"sqlite:///{folder}/scholarships.db",
        "XDG_STATE_HOME": f"{folder}/state",
        "PORT": "0",
    }
    return {**os.environ, **own, **variables}


class Service:
    """A process that serves, and what it has written since it was asked last."""

    def __init__(self, process: subprocess.Popen[str], welcome: str) -> None:
        self.process = process
        self.welcome = welcome
        found = URL.search(welcome)
        self.url = found[0] if found else ""
        assert process.stdout is not None
        self._lines = iter(process.stdout)

    def log_until(self, **wanted: object) -> dict[str, object]:
        """Read the log up to the line that has these; each line has to be a JSON object."""
        for line in self._lines:
            entry: dict[str, object] = json.loads(line)
            if wanted.items() <= entry.items():
                return entry
        raise AssertionError(f"it ended without {wanted}")

    def stop(self, number: signal.Signals) -> int:
        """Send a signal; return the exit code, with what is left of the log checked."""
        self.process.send_signal(number)
        for line in self._lines:
            json.loads(line)
        assert self.process.stderr is not None
        assert self.process.stderr.read().strip() == ""
        return self.process.wait(timeout=60)


@contextmanager
def serving(folder: Path, command: str, **variables: str) -> Iterator[Service]:
    process = subprocess.Popen(
        [sys.executable, "-m", "scholarships", command],
        env=environment(folder, **variables),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        welcome = ""
        while command == "demo" and "readyz" not in welcome:
            line = process.stderr.readline()
            assert line, f"it said nothing more after {welcome!r}"
            welcome += line
        yield Service(process, welcome)
    finally:
        process.kill()
        process.communicate()


def test_demo(tmp_path: Path) -> None:
    """The demo says what to try, all of it works, one id is in header and log, and SIGTERM ends it with exit code 0."""
    with serving(tmp_path, "demo") as demo:
        demo.log_until(message="samples_loaded", count=15)
        demo.log_until(message="application_started")
        assert f"curl -i {demo.url}/scholarships/1 -H 'X-Request-ID: hello-1'" in demo.welcome
        with httpx.Client(base_url=demo.url, timeout=60) as client:
            answer = client.get("/scholarships/1", headers={"X-Request-ID": "hello-1"})
            assert (answer.status_code, answer.json()) == (200, NORTHERN_LIGHTS)
            assert answer.headers["X-Request-ID"] == "hello-1"
            assert "server" not in answer.headers
            line = demo.log_until(request_id="hello-1")
            for moment in ("timestamp", "latency_ms"):
                del line[moment]
            assert line == {
                "level": "info",
                "logger": "belvedere.access",
                "message": "request_processed",
                "service": "scholarships",
                "environment": "local",
                "request_id": "hello-1",
                "trace_id": "hello-1",
                "method": "GET",
                "path": "/scholarships/1",
                "endpoint": "/scholarships/{id}",
                "status": 200,
                "response_bytes": len(answer.content),
            }
            found = client.post("/search", json={"query": "climate research"}).json()
            assert [item["title"] for item in found["items"]] == ["Northern Lights Climate Research Fellowship"]
            password = PASSWORD.search(demo.welcome)
            assert password is not None
            signed_in = client.post("/auth/token", data={"username": "admin", "password": password[1]})
            bearer = {"Authorization": f"Bearer {signed_in.json()['access_token']}"}
            assert client.patch("/scholarships/2", json={"amount": 33000}, headers=bearer).json()["amount"] == 33000
            missing = client.get("/scholarships/99", headers={"X-Request-ID": "hello-2"})
            assert missing.json() == {"error": "http_404", "message": "Not Found", "request_id": "hello-2"}
            assert demo.log_until(logger="belvedere.access", request_id="hello-2")["status"] == 404
            metrics = client.get("/metrics").text
            assert 'http_requests_total{method="GET",endpoint="/scholarships/{id}",status="200"} 1.0\n' in metrics
            assert 'database_query_duration_seconds_count{operation="SELECT",table="scholarships"} 5.0\n' in metrics
            assert client.get("/healthz").json() == {"status": "ok"}
            ready = {"status": "ready", "checks": {"database": "ok"}}
            deadline = time.monotonic() + 60
            while (found := client.get("/readyz").json()) != ready and time.monotonic() < deadline:
                time.sleep(0.1)  # a check that had no turn within its second
            assert found == ready
        assert demo.stop(signal.SIGTERM) == 0


def test_demo_password(tmp_path: Path) -> None:
    """A password that was given is the one that the demo says, in the quotes that a shell needs."""
    with serving(tmp_path, "demo", DEMO_PASSWORD="two words") as demo:
        assert "each with the password 'two words', and a change" in demo.welcome
        assert "--data-urlencode password='two words'" in demo.welcome
        demo.log_until(message="demo_users_loaded", count=3)
        demo.log_until(message="application_started")
        answer = httpx.post(f"{demo.url}/auth/token", data={"username": "student", "password": "two words"}, timeout=60)
        assert answer.status_code == 200
        assert demo.stop(signal.SIGTERM) == 0


def test_serve(tmp_path: Path) -> None:
    """Serving finds what a demo has left, says nothing but its log, and Ctrl-C ends it with exit code 0."""
    prepare(make_url(f"sqlite:///{tmp_path}/scholarships.db").set(drivername="sqlite+aiosqlite"))
    port = free_port()
    with serving(tmp_path, "serve", PORT=str(port)) as service:
        service.log_until(message="application_started")
        assert httpx.get(f"http://127.0.0.1:{port}/scholarships?limit=1", timeout=60).json()["total"] == 15
        assert service.stop(signal.SIGINT) == 0
        assert service.welcome == ""


def test_traces(tmp_path: Path) -> None:
    """With OTEL_ENDPOINT each request has a span, its statement one below; both ids are in line and interaction."""
    with receiving() as collector, serving(tmp_path, "demo", OTEL_ENDPOINT=collector.http) as demo:
        demo.log_until(message="application_started")
        assert (
            httpx.get(f"{demo.url}/scholarships/1", headers={"X-Request-ID": "hello-1"}, timeout=60).status_code == 200
        )
        line = demo.log_until(logger="belvedere.access", request_id="hello-1")
        assert demo.stop(signal.SIGTERM) == 0
        # What migrates and loads at the start has spans of its own, and is in no request's trace.
        spans = [span for span in collector.spans if span.trace_id == line["trace_id"]]
    query, span = sorted(spans, key=lambda sent: sent.item.end_time_unix_nano)
    assert [span.item.name, query.item.name] == ["GET /scholarships/{id}", "SELECT scholarships"]
    assert query.item.parent_span_id == span.item.span_id
    assert query.attributes["db.system.name"] == "sqlite"
    assert span.resource["service.name"] == "scholarships"
    with closing(sqlite3.connect(tmp_path / "scholarships.db")) as database:
        ((trace, metadata),) = database.execute("SELECT trace_id, metadata FROM interactions").fetchall()
    assert (trace, json.loads(metadata)) == (
        span.trace_id,
        {"request_id": "hello-1", "trace_id": span.trace_id},
    )


@pytest.mark.parametrize(("server", "workers", "code"), [("uvicorn", 1, 3), ("uvicorn", 2, 0), ("gunicorn", 1, 3)])
def test_unsafe(tmp_path: Path, server: launch.Server, workers: int, code: int) -> None:
    """Under any server, what is missing or unsafe is told in one message without a traceback, and ends it."""
    done = subprocess.run(
        launch.command(server, free_port(), workers=workers, app="scholarships.main:app"),
        check=False,
        env=environment(tmp_path, ENVIRONMENT="prod", PYTHONWARNINGS="default"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert (done.returncode, done.stdout) == (code, "")
    assert UNSAFE.strip() in done.stderr  # of several workers, the first may end the others before they tell it
    assert "Traceback" not in done.stderr
    if (server, workers) == ("uvicorn", 1):
        assert done.stderr == UNSAFE


def test_early_signal(tmp_path: Path) -> None:
    """A signal that comes while the demo starts ends it as cleanly."""
    # Where it comes in the middle of an import, the file that the interpreter reads is closed by being forgotten.
    with serving(tmp_path, "demo", PYTHONWARNINGS="error,ignore::ResourceWarning") as demo:
        assert demo.stop(signal.SIGTERM) == 0
