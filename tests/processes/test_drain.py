"""SIGTERM under every server: readiness first, then the server; a second signal, SIGINT and reloaders do not wait."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path

import pytest
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from tests.ports import free_port
from tests.processes.launch import DEADLINE, Process, Server, launch, running, wait_for

DRAIN = 2.5
LONG = 60.0
AT_ONCE = 20.0
"""Seconds within which a process has ended that did not wait: far from `LONG`, on a slow machine too."""

SHOP = """
import asyncio
import os
import signal
from contextlib import asynccontextmanager

import belvedere
from fastapi import FastAPI, WebSocket
from fastapi.responses import StreamingResponse

log = belvedere.get_logger("shop")

@asynccontextmanager
async def lifespan(app):
    if os.environ.get("OWN_HANDLER"):
        replaced = signal.getsignal(signal.SIGTERM)
        def own(number, frame):
            log.info("own_handler")
            replaced(number, frame)
        signal.signal(signal.SIGTERM, own)
    yield
    log.info("lifespan_over")

app = FastAPI(title="Shop", lifespan=lifespan)
belvedere.observe(app)

@app.get("/pid")
async def pid():
    return os.getpid()

@app.get("/slow/{seconds}")
async def slow(seconds: float):
    log.info("slow")
    await asyncio.sleep(seconds)
    return "done"

@app.get("/stream/{count}")
async def stream(count: int):
    log.info("slow")
    async def ticks():
        for number in range(count):
            yield f"{number} "
            await asyncio.sleep(0.1)
    return StreamingResponse(ticks())

@app.websocket("/ticks")
async def ticks(socket: WebSocket):
    await socket.accept()
    while True:
        await socket.send_text("tick")
        await asyncio.sleep(0.05)
"""


def settings(drain: float = LONG, **more: str) -> dict[str, str]:
    return {"ENVIRONMENT": "production", "BELVEDERE_HEALTH__DRAIN": str(drain), **more}


class Seen:
    """What a client saw of a server's end: seconds after the first signal."""

    def __init__(self, process: Process, *paths: str, websocket: bool = True) -> None:
        self.process = process
        self._pool = ThreadPoolExecutor()
        self._listens = threading.Event()
        self.came: dict[str, float] = {}
        """When each answer was whole."""
        self.answers = {path: self._pool.submit(self._get, path) for path in paths}
        self.ticks: Future[float] | None = self._pool.submit(self._listen) if websocket else None
        self.began = 0.0
        self.refused = self.served = 0.0
        self.ready_in_vain = 0
        """How often readiness was asked for when every worker had told that it drains, and answered 200."""
        self._workers = events(process).count("application_started")
        wait_for(lambda: process.stdout.count('"slow"') == len(paths), process)
        wait_for(lambda: self._listens.is_set() is websocket, process)

    def watch(self, *numbers: signal.Signals) -> int:
        """Send the signals to the process, ask for readiness until it ends, and return its exit code."""
        self.began = time.monotonic()
        for number in numbers:
            self.process.signal(number)
        return self.until_it_ends()

    def until_it_ends(self) -> int:
        while self.process.process.poll() is None and self._now() < DEADLINE:
            drains = events(self.process).count("draining") == self._workers
            try:
                ready = self.process.get("/readyz").status == 200
            except (OSError, HTTPException):
                continue
            self.ready_in_vain += ready and drains
            self.served = self._now()
            if not ready and not self.refused:
                self.refused = self.served
            time.sleep(0.02)
        return self.process.ended()

    def answer(self, path: str) -> bytes | None:
        """Return the body of an answer that came whole."""
        return self.answers[path].result(DEADLINE)

    def _get(self, path: str) -> bytes | None:
        try:
            body = self.process.get(path).body
        except (OSError, HTTPException):
            return None
        self.came[path] = self._now()
        return body

    def _listen(self) -> float:
        """Return when the WebSocket was closed."""
        address = f"ws://127.0.0.1:{self.process.port}/ticks"
        with connect(address, open_timeout=DEADLINE, close_timeout=1) as connection:
            self._listens.set()
            try:
                while True:
                    connection.recv(DEADLINE)
            except (WebSocketException, OSError):
                return self._now()

    def _now(self) -> float:
        return time.monotonic() - self.began


def events(process: Process) -> list[str]:
    """Return the events that the workers logged."""
    return [json.loads(line)["event"] for line in process.stdout.splitlines() if line.startswith("{")]


CASES: list[tuple[Server, int, tuple[str, ...]]] = [
    ("uvicorn", 1, ()),
    ("uvicorn", 1, ("--loop", "asyncio", "--timeout-graceful-shutdown", "20")),
    ("uvicorn", 2, ()),
    ("gunicorn", 1, ()),
    ("gunicorn", 2, ("--preload",)),
    ("granian", 1, ()),
    ("granian", 2, ("--loop", "asyncio")),
    ("hypercorn", 0, ()),
]


@pytest.mark.parametrize(("server", "workers", "options"), CASES, ids=str)
def test_it_drains(server: Server, workers: int, options: tuple[str, ...], tmp_path: Path) -> None:
    """Readiness is gone at once; requests are served until the wait is over; what is open then comes to its end.

    A request and a stream that take longer than the wait are answered whole, a WebSocket is open throughout it. The
    application's own handler and its lifespan run. One event tells, per process. uvicorn's supervisor looks for signals
    every half second.
    """
    paths = (f"/slow/{DRAIN + 2}", f"/stream/{DRAIN * 10 + 10:.0f}")
    # A handler set by `signal.signal` would hide that granian's lives in the loop: with one worker there is none.
    own = {} if (server, workers) == ("granian", 1) else {"OWN_HANDLER": "1"}
    with launch(server, tmp_path, SHOP, *options, workers=workers, environment=settings(DRAIN, **own)) as process:
        processes = max(workers, 1)
        wait_for(lambda: events(process).count("application_started") == processes, process)
        seen = Seen(process, *paths)
        code = seen.watch(signal.SIGTERM)
        assert seen.answer(paths[0]) == b'"done"'
        body = seen.answer(paths[1])
        assert body is not None
        assert body.split()[-1] == str(int(DRAIN * 10 + 9)).encode()
        assert code in {0, -signal.SIGTERM}
        assert seen.ready_in_vain == 0
        assert 0 < seen.refused < DRAIN
        assert DRAIN - 1 < seen.served < seen.came[paths[0]]
        assert seen.ticks is not None
        assert seen.ticks.result(DEADLINE) > DRAIN - 0.1
        logged = events(process)
        for event in ("draining", "lifespan_over", "application_stopped", *(["own_handler"] if own else [])):
            assert (event, logged.count(event)) == (event, processes)
        assert "internal_error" not in logged
        line = next(json.loads(line) for line in process.stdout.splitlines() if '"draining"' in line)
        assert (line["seconds"], line["level"], line["logger"]) == (DRAIN, "info", "belvedere")
    assert not process.serves()


@pytest.mark.parametrize(
    ("server", "numbers"),
    [
        ("uvicorn", (signal.SIGTERM, signal.SIGTERM)),
        ("uvicorn", (signal.SIGTERM, signal.SIGINT)),
        ("gunicorn", (signal.SIGTERM, signal.SIGINT)),
        ("hypercorn", (signal.SIGTERM, signal.SIGTERM)),
    ],
)
def test_a_second_signal_stops_now(
    server: Server, numbers: tuple[signal.Signals, signal.Signals], tmp_path: Path
) -> None:
    """Neither the wait nor a request in flight is waited for any longer."""
    with launch(server, tmp_path, SHOP, workers=0 if server == "hypercorn" else 1, environment=settings()) as process:
        seen = Seen(process, f"/slow/{LONG}", websocket=False)
        process.signal(numbers[0])
        wait_for(lambda: "draining" in events(process), process)
        assert process.get("/pid").status == 200
        seen.watch(numbers[1])
        assert seen._now() < AT_ONCE
        assert seen.answer(f"/slow/{LONG}") is None


@pytest.mark.parametrize("server", ["uvicorn", "granian"])
def test_a_second_signal_to_a_worker(server: Server, tmp_path: Path) -> None:
    """Supervisors that hand on no second signal are passed by: it is sent to the group of processes.

    The first one comes to the workers twice then, from the sender and from their supervisor, which is no second one.
    """
    with launch(server, tmp_path, SHOP, workers=2, environment=settings()) as process:
        wait_for(lambda: events(process).count("application_started") == 2, process)
        seen = Seen(process, f"/slow/{LONG}", websocket=False)
        os.killpg(process.pid, signal.SIGTERM)
        wait_for(lambda: events(process).count("draining") == 2, process)
        # The supervisors have their own second in which to say it again.
        told = time.monotonic()
        wait_for(lambda: time.monotonic() > told + 1.1, process)
        assert process.get("/pid").status == 200
        seen.began = time.monotonic()
        os.killpg(process.pid, signal.SIGTERM)
        seen.until_it_ends()
        assert seen._now() < AT_ONCE
        assert seen.answer(f"/slow/{LONG}") is None


def test_a_second_signal_when_the_wait_is_over(tmp_path: Path) -> None:
    """What the server still waits for then is not waited for either."""
    with launch("uvicorn", tmp_path, SHOP, environment=settings(0.1)) as process:
        seen = Seen(process, f"/slow/{LONG}", websocket=False)
        process.signal(signal.SIGTERM)
        wait_for(lambda: "Waiting for connections to close" in process.stdout, process)
        seen.watch(signal.SIGTERM)
        assert seen._now() < AT_ONCE


def test_an_endless_stream_is_cut_at_the_servers_limit(tmp_path: Path) -> None:
    """It goes on through the wait, and then for as long as the server lets it."""
    limit = ("--timeout-graceful-shutdown", "1")
    with launch("uvicorn", tmp_path, SHOP, *limit, environment=settings(0.5)) as process:
        seen = Seen(process, "/stream/10000", websocket=False)
        wait_for(lambda: process.get("/metrics").body.count(b'in_progress{method="GET"} 1') == 1, process)
        seen.watch(signal.SIGTERM)
        assert 1.4 < seen._now() < 1.5 + AT_ONCE
        assert seen.answer("/stream/10000") is None
        assert "application_stopped" in events(process)


@pytest.mark.parametrize(
    ("server", "workers"), [("uvicorn", 1), ("uvicorn", 2), ("gunicorn", 1), ("granian", 1), ("hypercorn", 0)]
)
def test_sigint_does_not_wait(server: Server, workers: int, tmp_path: Path) -> None:
    """SIGINT comes from a terminal, to all processes of the group: the server stops as it does without us.

    What supervisors send their workers after that, which is SIGTERM for uvicorn's and granian's, changes nothing.
    """
    with launch(server, tmp_path, SHOP, workers=workers, environment=settings()) as process:
        wait_for(lambda: events(process).count("application_started") == max(workers, 1), process)
        seen = Seen(process, "/slow/2", websocket=False)
        sent = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        process.ended()
        assert time.monotonic() - sent < AT_ONCE
        assert seen.answer("/slow/2") == b'"done"'
        assert "draining" not in events(process)


def test_gunicorns_quick_shutdown_does_not_wait(tmp_path: Path) -> None:
    """Its arbiter makes SIGQUIT of a SIGINT, of which uvicorn's worker takes no notice: with us it stops."""
    with launch("gunicorn", tmp_path, SHOP, environment=settings()) as process:
        sent = time.monotonic()
        process.stop(signal.SIGINT)
        assert time.monotonic() - sent < AT_ONCE
        assert "draining" not in events(process)


@pytest.mark.parametrize("server", ["uvicorn", "granian"])
def test_a_reloader_does_not_wait(server: Server, tmp_path: Path) -> None:
    """A changed file is served anew at once, and SIGTERM ends the reloader at once."""
    with launch(server, tmp_path, SHOP, "--reload", environment=settings()) as process:
        before = process.get("/pid").body
        changed = time.monotonic()
        (tmp_path / "shop.py").write_text(SHOP.replace("return os.getpid()", "return -os.getpid()"))
        wait_for(lambda: (seen := pid(process)) is not None and seen < 0, process, LONG / 2)
        assert time.monotonic() - changed < LONG / 2
        assert int(before) > 0
        sent = time.monotonic()
        process.stop()
        assert time.monotonic() - sent < AT_ONCE
        assert "draining" not in events(process)


def pid(process: Process) -> int | None:
    try:
        return int(process.get("/pid").body)
    except (OSError, HTTPException):
        return None


PROGRAM = """
import asyncio
import json
import signal
import sys

import belvedere
import uvicorn
from fastapi import FastAPI

def own(number, frame):
    print(json.dumps({"event": "own_before"}), flush=True)

def shop(name, drain):
    app = FastAPI(title=name)
    belvedere.observe(app, settings=belvedere.Settings(environment="production", health={"drain": drain}))
    return app

async def main(*ports):
    signal.signal(signal.SIGTERM, own)
    apps = [shop("shop", 0.2), shop("admin", 0.5)]
    apps[0].mount("/inner", shop("inner", 3))
    servers = [uvicorn.Server(uvicorn.Config(app, port=port)) for app, port in zip(apps, ports)]
    await asyncio.gather(*[server.serve() for server in servers])
    print(json.dumps({"event": "same_handler" if signal.getsignal(signal.SIGTERM) is own else "lost"}), flush=True)
    await asyncio.sleep(0.1)
    print(json.dumps({"event": "program_goes_on"}), flush=True)

asyncio.run(main(*map(int, sys.argv[1:])))
"""


def test_servers_in_a_program_of_the_users_own(tmp_path: Path) -> None:
    """Two servers in one asyncio program, and a mounted application: all drain, for the longest of their waits.

    Each server is stopped once, the program's own handler is called as uvicorn calls it, and is in its place again.
    """
    (tmp_path / "program.py").write_text(PROGRAM)
    ports = (free_port(), free_port())
    command = [sys.executable, "program.py", *map(str, ports)]
    with running(command, tmp_path, {**os.environ, "PYTHONUNBUFFERED": "1"}, ports[0]) as process:
        wait_for(lambda: events(process).count("application_started") == 2, process)
        wait_for(process.serves, process)
        began = time.monotonic()
        process.signal(signal.SIGTERM)
        wait_for(lambda: "draining" in events(process), process)
        assert [process.get(path).status for path in ("/readyz", "/healthz")] == [503, 200]
        assert process.ended() == 0
        assert time.monotonic() - began > 3
        assert [event for event in events(process) if not event.startswith(("Uvicorn", "Started", "Waiting"))][-2:] == [
            "same_handler",
            "program_goes_on",
        ]
        assert events(process).count("draining") == 1
        assert "own_before" in events(process)
