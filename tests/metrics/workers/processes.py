"""Workers as processes of their own that do what a test tells them, without a server around them."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI

import belvedere
from belvedere.settings import Settings
from tests.drive import ask
from tests.metrics.scraping import Scrape, scrape

DEADLINE = 120.0
Task = Callable[..., Any]


class Inside:
    """What a task finds in its worker: an application, observed and started."""

    def __init__(self, place: Path, service: str = "shop", **metrics: Any) -> None:
        # The package has an attribute of its module's name.
        vars(sys.modules["belvedere.metrics.workers"])["places"] = lambda name: iter([place])
        self.loop = asyncio.new_event_loop()
        self.app = FastAPI()
        self.more: dict[str, Any] = {}

        @self.app.get("/orders/{number}")
        async def order(number: int) -> int:
            return number

        self.obs = self.observe(self.app, service, **metrics)
        self.get("/healthz")

    def observe(self, app: FastAPI, service: str = "shop", **metrics: Any) -> belvedere.Observability:
        return belvedere.observe(app, settings=Settings(service=service, logs=None, metrics=metrics))

    def get(self, path: str, app: Any = None) -> Any:
        return self.loop.run_until_complete(ask(app or self.app, "GET", path))

    def scrape(self, *, openmetrics: bool = False, app: Any = None) -> Scrape:
        accept = b"application/openmetrics-text;version=1.0.0" if openmetrics else None
        return self.loop.run_until_complete(scrape(app or self.app, accept=accept))


class Worker:
    """A worker, from outside."""

    def __init__(self, context: Any, place: Path, service: str, metrics: dict[str, Any]) -> None:
        self._connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, place, service, metrics), daemon=True)
        self.process.start()
        theirs.close()
        self._answer()

    def __call__(self, task: Task, *arguments: Any) -> Any:
        """Run `task(inside, *arguments)` in the worker and return what it returns."""
        self._connection.send((task, arguments))
        return self._answer()

    def samples(self, *names: str) -> dict[str, float]:
        """Return what a scrape of this worker shows."""
        text: dict[str, float] = self(_samples, *names)
        return text

    def kill(self) -> None:
        """End it by kill -9."""
        if self.process.is_alive():
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.join(DEADLINE)

    def _answer(self) -> Any:
        if not self._connection.poll(DEADLINE):
            raise AssertionError("the worker does not answer")
        worked, result = self._connection.recv()
        if not worked:
            raise AssertionError(f"in the worker: {result}")
        return result


class Service:
    """Starts workers that meet in `place`."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__])
        self._started: list[Worker] = []

    def worker(self, service: str = "shop", **metrics: Any) -> Worker:
        worker = Worker(self._context, self.place, service, metrics)
        self._started.append(worker)
        return worker

    def stop(self) -> None:
        for worker in self._started:
            worker.kill()

    @property
    def folder(self) -> Path:
        """Where they meet."""
        (folder,) = self.place.iterdir()
        return folder


@contextmanager
def running(place: Path) -> Iterator[Service]:
    service = Service(place)
    try:
        yield service
    finally:
        service.stop()


def _samples(inside: Inside, *names: str) -> dict[str, float]:
    return inside.scrape().samples(*names)


def _work(connection: Any, place: Path, service: str, metrics: dict[str, Any]) -> None:
    # No server is around it that could tell it to stop, whatever a tracer has put there.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        inside = Inside(place, service, **metrics)
    except Exception as error:
        connection.send((False, repr(error)))
        return
    connection.send((True, None))
    while True:
        try:
            task, arguments = connection.recv()
        except EOFError:
            return
        try:
            connection.send((True, task(inside, *arguments)))
        except Exception as error:
            connection.send((False, repr(error)))
