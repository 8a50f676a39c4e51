"""Workers as processes of their own, each with a journal, that do what a test tells them."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from belvedere.interactions.journal import Journal

DEADLINE = 120.0
Task = Callable[..., Any]


class Worker:
    """A worker, from outside."""

    def __init__(self, folder: Path, options: dict[str, Any], before: Task | None = None) -> None:
        self.connection, theirs = _context.Pipe()
        self.process = _context.Process(target=_work, args=(theirs, folder, options, before), daemon=True)
        self.process.start()
        theirs.close()
        self.answer()

    def __call__(self, task: Task, *arguments: Any) -> Any:
        """Run `task(journal, *arguments)` in the worker and return what it returns."""
        self.begin(task, *arguments)
        return self.answer()

    def begin(self, task: Task, *arguments: Any) -> None:
        """Run a task without waiting for it."""
        self.connection.send((task, arguments))

    def answer(self) -> Any:
        """Return what a task has returned."""
        assert self.connection.poll(DEADLINE), "the worker does not answer"
        answer = self.connection.recv()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def kill(self) -> None:
        """End it by kill -9."""
        if self.process.is_alive() and self.process.pid:
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.join(DEADLINE)


Make = Callable[..., Worker]


@contextmanager
def workers(folder: Path) -> Iterator[Make]:
    """Give what makes workers that share a folder; those that live at the end are killed."""
    made: list[Worker] = []

    def make(before: Task | None = None, **options: Any) -> Worker:
        made.append(Worker(folder, options, before))
        return made[-1]

    try:
        yield make
    finally:
        for worker in made:
            worker.kill()
            worker.connection.close()
            worker.process.close()


def append(journal: Journal, payloads: list[bytes]) -> list[bool]:
    return [journal.append(payload) for payload in payloads]


def drain(journal: Journal, limit: int = 100) -> list[bytes]:
    """Take and deliver all there is."""
    payloads: list[bytes] = []
    while batch := journal.take(limit):
        payloads += batch.payloads
        batch.done()
    return payloads


def figures(journal: Journal) -> dict[str, Any]:
    names = ("pending", "bytes", "oldest", "dropped", "state", "why")
    return {name: getattr(journal, name) for name in names}


_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([__name__])


def _work(connection: Any, folder: Path, options: dict[str, Any], before: Task | None) -> None:
    if before is not None:
        before(folder)
    journal = Journal(folder, **options)
    journal.open()
    connection.send(None)
    while True:
        try:
            task, arguments = connection.recv()
        except EOFError:
            os._exit(0)
        try:
            connection.send(task(journal, *arguments))
        except Exception as error:
            connection.send(error)
