"""A shop that several workers serve: its source, a connection to each, and the folders that they make."""

from __future__ import annotations

import http.client
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.metrics.scraping import samples_of
from tests.processes.launch import DEADLINE, Answer, Process, wait_for

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


class Connection:
    """One connection, and so one worker."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
        self.pid = int(self.get("/pid"))

    def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        try:
            self._connection.request(method, path, headers=headers)
            response = self._connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        except (OSError, http.client.HTTPException):
            self.close()  # http.client closes some of those that break, and leaves others to be collected
            raise

    def get(self, path: str, **headers: str) -> str:
        answer = self.ask(path, **headers)
        text = answer.body.decode()
        assert answer.status == 200, text
        return text

    def samples(self, *names: str, path: str = "/metrics") -> dict[str, float]:
        """Return samples of one scrape: name and labels to value."""
        return samples_of(parse_text(self.get(path)), names)

    def requests(self, path: str = "/metrics") -> float:
        """Return how many requests the whole service has counted."""
        return sum(self.samples("http_requests_total", path=path).values())

    def close(self) -> None:
        self._connection.close()


@contextmanager
def connected(process: Process, workers: int) -> Iterator[list[Connection]]:
    """Have a connection to each of so many workers, by which all of them have answered `/pid`."""
    found: dict[int, Connection] = {}
    made: list[Connection] = []

    def all_found() -> bool:
        # Kept open meanwhile: a server prefers workers that have little to do.
        try:
            made.append(Connection(process.port))
        except (OSError, http.client.HTTPException):  # a worker that ends had taken it
            return False
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


def settled(process: Process, workers: int) -> None:
    """Wait until so many workers run, each of which has started, and no other is starting or about to end."""

    def found() -> bool:
        begun, up, over = (
            process.stdout.count(f'"application_{event}"') for event in ("starting", "started", "stopped")
        )
        return begun == up == over + workers

    wait_for(found, process)


def left(process: Process) -> list[Path]:
    """Return the folders that a service has made."""
    return left_by(process.pid)


def left_by(pid: int) -> list[Path]:
    """Return the folders that the processes below this one have made to meet in."""
    try:
        return list(PLACE.glob(f"{pid}-*"))
    except FileNotFoundError:  # the last service that ends takes the place away, another test's too
        return []


def end_by_force(worker: int, process: Process) -> None:
    """End a worker by kill -9, and wait until it has."""
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: has_ended(worker), process)


def has_ended(pid: int) -> bool:
    """Whether all threads of a process have: its first may be a zombie while others still hold its locks."""
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z" and len(threads) == 1
