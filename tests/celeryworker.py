"""A real Celery worker: its module in a file, `celery worker` around it, and what it wrote."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from celery import Celery
from kombu import pools
from redis import Redis

from tests import servers
from tests.ports import free_port
from tests.processes.launch import Process, children, running, wait_for

SHOP = """
import logging
import os
import signal
import time

from celery import Celery

import belvedere
from belvedere import get_logger

signal.signal(signal.SIGTERM, signal.default_int_handler)  # which Celery replaces, as whatever libraries put there
app = Celery("shop", broker=os.environ["BROKER"], backend=os.environ.get("BACKEND"))
app.conf.task_default_queue = os.environ.get("QUEUE", "celery")
log = get_logger("shop")
packed = belvedere.counter("shop_packed_total", "Packed.")


@app.task
def add(*numbers):
    log.info("adding")
    logging.getLogger("plain").info("as well")
    packed.inc()
    belvedere.bind(order_id=7)
    log.info("added")
    return sum(numbers)


@app.task
def ids(*_):
    from belvedere.context import carried

    return [belvedere.request_id(), carried().get("traceparent")]


@app.task(bind=True, max_retries=3)
def flaky(self, tries):
    if self.request.retries < tries:
        raise self.retry(exc=ValueError(f"try {self.request.retries}"), countdown=0)
    return [self.request.retries, belvedere.request_id(), self.request.headers.get("own")]


@app.task
def fails():
    raise LookupError("lost")


@app.task
def starts():
    return ids.delay().id


@app.task
def pid():
    return os.getpid()


@app.task
def waits(path):
    log.info("waiting")
    while not os.path.exists(path):
        time.sleep(0.02)


@app.task(time_limit=0.5)
def hangs():
    time.sleep(60)


@app.task
def dies():
    os._exit(3)
"""

OBSERVED = f"{SHOP}\n\nbelvedere.observe(app)\n"


class Worker:
    """A worker that runs, and what it wrote."""

    def __init__(self, process: Process, port: int) -> None:
        self.process = process
        self.port = port

    @property
    def lines(self) -> list[dict[str, Any]]:
        """All that is a whole line by now; nothing else is on its stdout."""
        return [json.loads(line) for line in list(self.process.out) if line.endswith(b"\n")]

    def told(self, **fields: Any) -> list[dict[str, Any]]:
        """Return the lines that have these fields."""
        return [line for line in self.lines if fields.items() <= line.items()]

    def wait(self, **fields: Any) -> dict[str, Any]:
        """Return the first line that has these fields, once it is there."""
        wait_for(lambda: bool(self.told(**fields)), self.process)
        return self.told(**fields)[0]

    def samples(self, *names: str) -> dict[str, float]:
        """Return the samples of its metrics whose names begin so."""
        text = self.process.get("/metrics").body.decode()
        pairs = (line.rpartition(" ") for line in text.splitlines() if line.startswith(names))
        return {name: float(value) for name, _, value in pairs}

    def pool(self) -> list[int]:
        """Return the processes that run tasks."""
        return children(self.process.pid)


@contextmanager
def broker() -> Iterator[str]:
    """Have a Redis that no other test's worker takes tasks from; yield its URL.

    It is a server for this alone or, where `REDIS_URL` is given, a database of that one that nobody else has now.
    """
    given = os.environ.get("REDIS_URL")
    if given is None:
        with servers.redis() as url:
            yield url
        return
    for number in range(1, 16):
        url = urlsplit(given)._replace(path=f"/{number}").geturl()
        with Redis.from_url(url) as client:
            if not client.set("belvedere-tests", "taken", nx=True, ex=7200):
                continue
            try:
                yield url
            finally:
                client.flushdb()
            return
    raise AssertionError("other tests have all databases of REDIS_URL")


@contextmanager
def working(
    folder: Path, *options: str, environment: Mapping[str, str], source: str = OBSERVED, served: bool = True
) -> Iterator[Worker]:
    """Run a worker until the block ends, killed if it is still there then; the block begins when it takes tasks.

    Args:
        folder: where its module goes.
        options: of its command line.
        environment: with `BROKER`.
        source: of the module `shop`.
        served: whether metrics and probes have a port.
    """
    (folder / "shop.py").write_text(source)
    port = free_port()
    settings = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "ignore", **environment}
    if served:
        settings["BELVEDERE_METRICS__PORT"] = str(port)
    command = [sys.executable, "-m", "celery", "-A", "shop", "worker", *options]
    with running(command, folder, settings, port) as process:
        worker = Worker(process, port)
        if served:
            wait_for(lambda: process.serves() and process.get("/readyz").status == 200, process)
        yield worker


@contextmanager
def sending(broker: str, backend: str | None) -> Iterator[Celery]:
    """Have an application that sends the tasks of `shop` by their names, and lets go of all connections at the end."""
    app = Celery("sender", broker=broker, backend=backend, set_as_current=False)
    app.conf.result_expires = 60
    yield app
    app.close()
    library: Any = pools
    library.reset()  # which are the process's, by broker
    if backend is not None:
        app.backend.result_consumer.stop()
        app.backend.client.connection_pool.disconnect()
