"""Several workers, one service, under the servers that users run: what a scrape shows, and what is left behind."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.processes.launch import DEADLINE, Process, Server, launch, running, wait_for
from tests.processes.load import Load
from tests.servers import free_port

SHM = Path("/dev/shm")  # noqa: S108 - where the files of workers lie
PLACE = SHM / f"belvedere-{os.geteuid()}"

SHOP = """
import os, signal, threading
import belvedere, prometheus_client
from fastapi import FastAPI
from prometheus_client.core import GaugeMetricFamily

early = prometheus_client.Counter("early", "Made before.", ["x"])
early.labels("import").inc(2)
app = FastAPI(title="Shop")
back = FastAPI(title="Back")
belvedere.observe(app)
belvedere.observe(back)

reads = 0

async def count_open():
    global reads
    reads += 1
    return 40 + 2

belvedere.gauge("tasks_open", "Asked.", read=count_open)
for combine in ("sum", "max", "min", "latest"):
    belvedere.gauge(f"g_{combine}", "A gauge.", combine=combine)
each = prometheus_client.Gauge("g_each", "One for each.", multiprocess_mode="all")
of_pid = belvedere.gauge("g_of_pid", "Series that one worker alone has.", ["worker"])
summary = prometheus_client.Summary("s_bytes", "A summary.")
histogram = belvedere.histogram("h_seconds", "A histogram.", buckets=[0.1, 1.0])
prometheus_client.Info("build", "Of this build.").info({"version": "7"})
prometheus_client.Enum("state", "Of the service.", states=["up", "down"]).state("up")

class Custom:
    def collect(self):
        yield GaugeMetricFamily("custom_things", "Somebody else's.", value=11)

prometheus_client.REGISTRY.register(Custom())

class Part:
    def install(self, host):
        self.calls = host.metric("counter", "part_calls_total", "Of a part.")
    def uninstall(self):
        pass

part = Part()
app.state.belvedere.add(part)

@app.get("/pid")
async def pid():
    return os.getpid()

@app.get("/worker")
async def worker():
    return os.getpid()

@app.get("/reads")
async def asked():
    return reads

@app.get("/count/{number}")
async def count(number: float):
    early.labels("request").inc()
    for combine in ("sum", "max", "min", "latest"):
        belvedere.gauge(f"g_{combine}", "A gauge.", combine=combine).set(number)
    each.set(number)
    of_pid.labels(os.getpid()).set(1)
    summary.observe(number)
    histogram.observe(number)
    part.calls.inc()
    return number

@app.get("/late")
async def late():
    prometheus_client.Counter("late", "Made by one worker.").inc(3)
    belvedere.counter("declared_late_total", "Declared by one worker.").inc(4)

@app.get("/fork")
async def fork():
    child = os.fork()
    if not child:
        belvedere.counter("declared_late_total", "Declared by one worker.").inc(1000)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        threading.Event().wait(30)
        os._exit(0)
    return child

async def both(scope, receive, send):
    # Two applications side by side; the second one hears of no lifespan.
    if scope["type"] == "http" and scope["path"].startswith("/back/"):
        return await back({**scope, "path": scope["path"][5:], "raw_path": scope["raw_path"][5:]}, receive, send)
    await app(scope, receive, send)

@back.get("/carts/{number}")
async def cart(number: int):
    return number
"""


RECYCLED = int(os.environ.get("BELVEDERE_RECYCLED", "2000"))

READ_ONLY = "for f in /tmp /var/tmp $PWD; do mount --bind $f $f; mount -o remount,bind,ro $f; done"
"""Leaves no other place, as /tmp is the next."""


class Connection:
    """One connection, and so one worker."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
        self.pid = int(self.get("/pid"))

    def get(self, path: str, **headers: str) -> str:
        self._connection.request("GET", path, headers=headers)
        response = self._connection.getresponse()
        text = response.read().decode()
        assert response.status == 200, text
        return text

    def samples(self, *names: str, path: str = "/metrics") -> dict[str, float]:
        """Return samples of one scrape: name and labels to value."""
        found: dict[str, float] = {}
        for family in parse_text(self.get(path)):
            for sample in family.samples:
                if not names or sample.name in names:
                    labels = ",".join(f'{key}="{value}"' for key, value in sorted(sample.labels.items()))
                    text = f"{sample.name}{{{labels}}}" if labels else sample.name
                    assert text not in found, f"{text} is there twice"
                    found[text] = sample.value
        return found

    def requests(self, path: str = "/metrics") -> float:
        """Return how many requests the whole service has counted."""
        return sum(self.samples("http_requests_total", path=path).values())

    def close(self) -> None:
        self._connection.close()


@contextmanager
def connected(process: Process, workers: int) -> Iterator[list[Connection]]:
    """Have a connection to each of so many workers."""
    found: dict[int, Connection] = {}
    made: list[Connection] = []

    def all_found() -> bool:
        # Kept open meanwhile: a server prefers workers that have little to do.
        made.append(Connection(process.port))
        found.setdefault(made[-1].pid, made[-1])
        return len(found) >= workers

    try:
        wait_for(all_found, process)
        yield list(found.values())
    finally:
        for connection in made:
            connection.close()


def started(process: Process, workers: int) -> None:
    """Wait until so many workers have started, from the beginning on."""
    wait_for(lambda: process.stdout.count('"application_started"') >= workers, process)


def left(process: Process) -> list[Path]:
    """Return the folders that a service has made."""
    return list(PLACE.glob(f"{process.pid}-*")) if PLACE.exists() else []


def end_by_force(worker: int, process: Process) -> None:
    """End a worker by kill -9, and wait until it has."""
    os.kill(worker, signal.SIGKILL)
    stat = Path(f"/proc/{worker}/stat")
    wait_for(lambda: not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z", process)


def sum_of(lines: dict[str, float]) -> float:
    return sum(lines.values())


def test_one_scrape_shows_the_whole(tmp_path: Path) -> None:
    """Three workers that have counted different things show the same, each all of it; and none after a kill -9 less."""
    with launch("uvicorn", tmp_path, SHOP, workers=3, app="shop:both") as process:
        started(process, 3)
        with connected(process, 3) as connections:
            asked = _count_everywhere(connections)
            wait_for(lambda: all(_late(connection) for connection in connections), process)
            for connection in connections:
                _shows_all(connection, connections, asked)
            assert sum(int(connection.get("/reads")) for connection in connections) <= asked["scrapes"] + 100
            _exemplars(connections)
            gone, *stay = connections
            child = int(gone.get("/fork"))
            try:
                end_by_force(gone.pid, process)
                for connection in stay:
                    shown = connection.samples("g_of_pid", "g_each", "g_sum", "early_total", "declared_late_total")
                    assert str(gone.pid) not in repr(shown)
                    assert shown["g_sum"] == 2 + 3
                    assert shown['early_total{x="request"}'] == 3 + 2
                    assert shown["declared_late_total"] == 4
            finally:
                os.kill(child, signal.SIGKILL)
        started(process, 4)
        assert left(process)
        assert process.stop() in {0, -15}
        assert not left(process)
        assert "internal_error" not in process.stdout


def _count_everywhere(connections: list[Connection]) -> dict[str, int]:
    for number, connection in enumerate(connections, start=1):
        connection.get(f"/count/{number}")
        connection.get("/back/carts/7")
    connections[0].get("/late")
    return {"scrapes": 3}


def _late(connection: Connection) -> bool:
    shown = connection.samples("late_total", "declared_late_total")
    return shown == {"late_total": 3, "declared_late_total": 4}


def _shows_all(connection: Connection, connections: list[Connection], asked: dict[str, int]) -> None:
    shown = connection.samples()
    pids = [other.pid for other in connections]
    assert shown['http_requests_total{endpoint="/count/{number}",method="GET",status="200"}'] == 3
    assert not [line for line in shown if "carts" in line]
    assert shown['http_request_duration_seconds_count{endpoint="/count/{number}",method="GET"}'] == 3
    assert {name: shown[f"g_{name}"] for name in ("sum", "max", "min", "latest")} == {
        "sum": 6,
        "max": 3,
        "min": 1,
        "latest": 3,
    }
    assert [shown[f'g_each{{pid="{pid}"}}'] for pid in pids] == [1, 2, 3]
    assert [shown[f'g_of_pid{{worker="{pid}"}}'] for pid in pids] == [1, 1, 1]
    assert (shown["s_bytes_count"], shown["s_bytes_sum"]) == (3, 6)
    assert [shown[f'h_seconds_bucket{{le="{bound}"}}'] for bound in ("0.1", "1.0", "+Inf")] == [0, 1, 3]
    assert (shown["h_seconds_count"], shown["h_seconds_sum"]) == (3, 6)
    assert shown["part_calls_total"] == 3
    assert shown['early_total{x="import"}'] == 6
    assert shown['early_total{x="request"}'] == 3
    assert shown["tasks_open"] == 42
    assert shown['build_info{version="7"}'] == 1
    assert shown['state{state="up"}'] == 1
    assert shown["custom_things"] == 11
    assert shown["process_resident_memory_bytes"] > 3 * 20e6
    assert shown["process_cpu_seconds_total"] > 0
    assert any(line.startswith("python_gc_collections_total") for line in shown)
    assert sum_of({line: value for line, value in shown.items() if line.startswith("python_info")}) == 1
    mounted = connection.samples("http_requests_total", path="/back/metrics")
    assert mounted == {'http_requests_total{endpoint="/carts/{number}",method="GET",status="200"}': 3}


def _exemplars(connections: list[Connection]) -> None:
    """A sampled request's trace id is an exemplar of the merged histogram, whoever is asked."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    connections[0].get("/count/1", traceparent=f"00-{trace}-b7ad6b7169203331-01")
    deadline = time.monotonic() + DEADLINE
    for connection in connections:
        while True:
            text = connection.get("/metrics", accept="application/openmetrics-text;version=1.0.0")
            found = [
                sample.exemplar.labels["trace_id"]
                for family in parse_openmetrics(text)  # type: ignore[no-untyped-call]
                for sample in family.samples
                if sample.exemplar is not None
            ]
            if trace in found:
                break
            assert time.monotonic() < deadline, text
            time.sleep(0.05)
    connections[0].get("/count/1")


def test_no_sum_goes_back_when_workers_are_killed(tmp_path: Path) -> None:
    """Under load two workers are killed: scrapes from any worker only rise, and no answered request is lost."""
    with launch("uvicorn", tmp_path, SHOP, workers=3) as process:
        started(process, 3)
        load = Load(process.port, "/worker", connections=8)
        end = load.begin()
        seen: list[float] = []
        try:
            for kills in range(2):
                before = load.answered
                wait_for(lambda at=before + 300: load.answered > at, process)  # type: ignore[misc]
                _scrape_some(process, seen)
                os.kill(int(load.last), signal.SIGKILL)
                _scrape_some(process, seen)
                started(process, 4 + kills)
            _scrape_some(process, seen)
        finally:
            end()
        _scrape_some(process, seen)
        print(f"{load.answered} answered, {load.broken} broken by kills, {seen[-1]:.0f} counted, {len(seen)} scrapes")
        assert seen == sorted(seen)
        assert load.broken > 0
        assert load.answered <= seen[-1] <= load.answered + load.broken
        assert set(load.statuses) == {200}
        assert process.stop(signal.SIGINT) in {0, -2, 130}
        assert not left(process)


def _scrape_some(process: Process, seen: list[float]) -> None:
    for _ in range(12):
        try:
            connection = Connection(process.port)
            shown = connection.samples("http_requests_total")
        except (OSError, http.client.HTTPException):
            continue
        seen.append(shown['http_requests_total{endpoint="/worker",method="GET",status="200"}'])
        connection.close()


@pytest.mark.timeout(60 if RECYCLED <= 2000 else 900)
def test_recycled_workers_lose_nothing(tmp_path: Path) -> None:
    """gunicorn replaces each worker after 200 requests: the sum is what was answered, and the folder does not grow.

    `BELVEDERE_RECYCLED=50000` makes it as many requests; 2,000 otherwise.
    """
    requests = RECYCLED
    options = ("--max-requests", "200")
    with launch("gunicorn", tmp_path, SHOP, *options, workers=2, app="shop:both") as process:
        started(process, 2)
        load = Load(process.port, "/count/1", connections=4)
        load.run(requests)
        recycled = process.stdout.count('"application_stopped"')
        line = 'http_requests_total{endpoint="/count/{number}",method="GET",status="200"}'
        with connected(process, 1) as (connection,):
            counted = connection.samples("http_requests_total")[line]
        files = [path.name for folder in left(process) for path in folder.iterdir()]
        print(f"{load.answered} answered, {load.broken} broken, {counted:.0f} counted, {recycled} workers recycled")
        # More often where it is quicker: one that is told to stop finishes what it has.
        assert recycled >= max(3, requests // 800)
        assert counted == load.answered
        assert len(files) <= 3 + 4 * 4, files
        began = process.stdout.count('"application_starting"')
        started(process, began)
        assert process.stop() in {0, -15}
        assert not left(process)
        assert "internal_error" not in process.stdout


@pytest.mark.parametrize(
    ("server", "options", "kill", "stop"),
    [
        ("gunicorn", ("--preload",), True, signal.SIGINT),
        ("granian", ("--respawn-failed-workers",), True, signal.SIGTERM),
        ("hypercorn", (), False, signal.SIGTERM),
        ("uvicorn", ("--lifespan", "off"), True, signal.SIGTERM),
    ],
)
def test_under_each_server(
    server: Server, options: tuple[str, ...], kill: bool, stop: signal.Signals, tmp_path: Path
) -> None:
    """Each worker shows all, one that was killed is missed by no sum, and nothing is left after a clean stop."""
    with launch(server, tmp_path, SHOP, *options, workers=2) as process:
        if "off" not in options:
            started(process, 2)
        with connected(process, 2) as connections:
            for connection in connections:
                connection.get("/count/1")
            line = 'http_requests_total{endpoint="/count/{number}",method="GET",status="200"}'
            for connection in connections:
                wait_for(lambda c=connection: c.samples("http_requests_total").get(line) == 2, process)  # type: ignore[misc]
            if kill:
                end_by_force(connections[0].pid, process)
                assert connections[1].samples("http_requests_total")[line] == 2
        if kill and "off" not in options:
            started(process, 3)
        with connected(process, 2) as connections:
            for connection in connections:
                assert connection.samples("http_requests_total")[line] == 2
        assert left(process)
        # As by Ctrl-C, which all processes get: gunicorn's alone has uvicorn's workers wait to be killed.
        os.killpg(process.pid, stop) if stop == signal.SIGINT else process.signal(stop)
        process.ended()
        assert not left(process), [path.name for path in left(process)[0].iterdir()]
        assert "internal_error" not in process.stdout


def test_what_a_crash_leaves_is_removed(tmp_path: Path) -> None:
    """A service killed at once leaves its files; the next start of any service removes them, and no living one's."""
    folders = [tmp_path / name for name in ("crashed", "lives", "next")]
    for folder in folders:
        folder.mkdir()
    with launch("uvicorn", folders[1], SHOP, workers=2) as lives:
        started(lives, 2)
        with launch("uvicorn", folders[0], SHOP, workers=2) as crashed:
            started(crashed, 2)
            pids = [crashed.pid, *crashed.workers()]
            assert left(crashed)
            os.killpg(crashed.pid, signal.SIGKILL)
            crashed.ended()
        wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), lives)
        # What was left may be gone already, if another test has started a service meanwhile.
        with launch("gunicorn", folders[2], SHOP, workers=2) as process:
            started(process, 2)
            assert not left(crashed)
            assert left(lives)
            assert process.stop() in {0, -15}
        with connected(lives, 2) as connections:
            connections[0].get("/count/1")
            assert connections[1].requests() > 0
        assert lives.stop() in {0, -15}
        assert not left(lives)


def test_one_process_puts_nothing_on_disk(tmp_path: Path) -> None:
    """A single uvicorn shares with nobody."""
    with launch("uvicorn", tmp_path, SHOP) as process:
        connection = Connection(process.port)
        connection.get("/count/1")
        assert connection.requests() >= 1
        connection.close()
        assert not left(process)
        assert not list(PLACE.glob(f"{os.getpid()}-*"))
        assert process.stop() in {0, -15}


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None or sys.platform != "linux", reason="mounting needs root"
)
@pytest.mark.parametrize(
    "mounts",
    [
        "mount -t tmpfs -o ro tmpfs /dev/shm",
        "mount -t tmpfs -o size=4k,nr_inodes=99 tmpfs /dev/shm; head -c 4096 /dev/zero >/dev/shm/full",
    ],
    ids=["read-only", "full"],
)
def test_without_a_place_to_write(mounts: str, tmp_path: Path) -> None:
    """Where all is read-only or full it is served all the same, each worker by itself, and the log says so."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this container may not mount")
    port = free_port()
    (tmp_path / "shop.py").write_text(SHOP)
    serve = f"{sys.executable} -m uvicorn --host 127.0.0.1 --port {port} --workers 2 shop:app"
    command = ["unshare", "-m", "sh", "-ec", f"{mounts}; {READ_ONLY}; exec {serve}"]
    settings = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with running(command, tmp_path, settings, port) as process:
        wait_for(process.serves, process)
        started(process, 2)
        with connected(process, 2) as connections:
            for number, connection in enumerate(connections, start=1):
                for _ in range(number):
                    connection.get("/count/1")
            line = 'http_requests_total{endpoint="/count/{number}",method="GET",status="200"}'
            for number, connection in enumerate(connections, start=1):
                assert connection.samples("http_requests_total")[line] == number
        told = [json.loads(text) for text in process.stdout.splitlines() if '"application_starting"' in text]
        assert all("each worker by itself" in json.dumps(event) for event in told), told
        assert process.stop() in {0, -15}
        assert "internal_error" not in process.stdout
