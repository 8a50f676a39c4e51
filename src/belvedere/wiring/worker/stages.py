"""The stages of a worker's life, as Celery tells them: by a step of its blueprint, and by signals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from celery import bootsteps, signals
from celery.concurrency.prefork import TaskPool

from belvedere import failures


class Staged(Protocol):
    """What is told of them; none of it may raise into Celery."""

    def configure(self) -> None:
        """Celery would set up logging now, and leaves it to us."""

    def found(self, worker: Any) -> None:
        """A worker is being made, and its command line is known."""

    def made(self, *, forks: bool) -> None:
        """It is made; `forks` says whether it is about to fork processes that run the tasks."""

    def started(self) -> None:
        """What runs tasks is there; the broker may be away still."""

    def ready(self) -> None:
        """It takes tasks."""

    def closing(self) -> None:
        """It takes no more; those that run come to their end."""

    def stopped(self) -> None:
        """They have."""

    def child_began(self) -> None:
        """This process was forked to run tasks."""

    def child_ends(self) -> None:
        """It is about to end."""


class Stages:
    """Follows the workers of one application.

    Args:
        app: of Celery.
        told: of each stage.
    """

    def __init__(self, app: Any, told: Staged) -> None:
        self._app = app
        self._told = told
        self._step = _step(told)
        self._signals = (
            (signals.setup_logging, self._configure),
            (signals.celeryd_init, self._found),
            (signals.worker_ready, self._ready),
            (signals.worker_shutting_down, self._closing),
            (signals.worker_shutdown, self._stopped),
            (signals.worker_process_init, self._child_began),
            (signals.worker_process_shutdown, self._child_ends),
        )

    def follow(self) -> None:
        self._app.steps["worker"].add(self._step)
        for signal, receiver in self._signals:
            signal.connect(receiver, weak=False)

    def leave(self) -> None:
        self._app.steps["worker"].discard(self._step)
        for signal, receiver in self._signals:
            signal.disconnect(receiver)

    def _configure(self, **_: Any) -> None:
        contained(self._told.configure)

    def _found(self, instance: Any = None, **_: Any) -> None:
        if getattr(instance, "app", None) is self._app:
            contained(lambda: self._told.found(instance))

    def _ready(self, sender: Any = None, **_: Any) -> None:
        if getattr(sender, "app", None) is self._app:
            contained(self._told.ready)

    def _closing(self, **_: Any) -> None:
        contained(self._told.closing)

    def _stopped(self, sender: Any = None, **_: Any) -> None:
        if getattr(sender, "app", None) is self._app:
            contained(self._told.stopped)

    def _child_began(self, **_: Any) -> None:
        contained(self._told.child_began)

    def _child_ends(self, **_: Any) -> None:
        contained(self._told.child_ends)


def contained(call: Callable[[], None]) -> None:
    """Call; a failure is ours."""
    try:
        call()
    except Exception as error:
        failures.contain("worker", error)


def _step(told: Staged) -> type[Any]:
    """Return a step for Celery's blueprint of workers, which begins after the pool and before the consumer."""

    def __init__(self: Any, worker: Any, **options: Any) -> None:  # noqa: N807 - Celery makes it
        bootsteps.StartStopStep.__init__(self, worker, **options)
        pool = worker.pool_cls
        contained(lambda: told.made(forks=isinstance(pool, type) and issubclass(pool, TaskPool)))

    names = {
        "__init__": __init__,
        "__module__": __name__,
        "requires": ("celery.worker.components:Pool",),
        "start": lambda self, worker: contained(told.started),
        "stop": lambda self, worker: None,
        "close": lambda self, worker: contained(told.closing),
        "terminate": lambda self, worker: contained(told.closing),
    }
    return type("Belvedere", (bootsteps.StartStopStep,), names)
