"""Follows the tasks of a Celery application, in whichever process they are sent and run, by Celery's own signals."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

from billiard import current_process
from celery import signals
from celery.exceptions import Reject

from belvedere import failures
from belvedere.integrations._celery.figures import FEATURE, Figures
from belvedere.integrations._celery.lines import OwnLines
from belvedere.integrations._celery.run import Run, described, distinct, request_id_of, running
from belvedere.integrations._celery.sending import Sending, received, sending, trace_fields
from belvedere.integrations.hooks import hook, unhook

_MAIN = "MainProcess"
_REMEMBERED = 256
"""Tasks that were lost with their process: Celery is done with the last of them by then."""


class Tasks:
    """What happens to the tasks of one application; parts that are installed on it share one of these.

    Args:
        app: of Celery.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self.figures: list[Figures] = []
        self.after: list[Callable[[], None]] = []
        """Called after each run of a task, in the process that ran it."""
        self._received: WeakValueDictionary[str, Any] = WeakValueDictionary()
        self._gone: deque[str] = deque(maxlen=_REMEMBERED)
        self._lines = OwnLines(app, lambda: bool(self.figures) and self._teller.log is not None)
        self._signals = (
            (signals.before_task_publish, self._address),
            (signals.task_received, self._receive),
            (signals.task_prerun, self._begin),
            (signals.task_postrun, self._end),
            (signals.task_failure, self._lost),
            (signals.task_revoked, self._revoked),
        )

    @property
    def _traced(self) -> Figures:
        """Those that make spans, for all: the first with tracing, if there is one."""
        return next((each for each in self.figures if each.spans.tracer is not None), self.figures[0])

    @property
    def _teller(self) -> Figures:
        """Those that write lines, likewise."""
        return next((each for each in self.figures if each.log is not None), self.figures[0])

    def add(self, figures: Figures) -> None:
        """Follow tasks for these figures as well."""
        self.figures = [*self.figures, figures]
        if len(self.figures) == 1:
            hook(self, self._app, "send_task", self._wrap)
            self._lines.take()
            for signal, receiver in self._signals:
                signal.connect(receiver, weak=False)

    def discard(self, figures: Figures) -> None:
        """Forget these; with the last ones, Celery is left as it was."""
        before = self.figures
        self.figures = [each for each in before if each is not figures]
        if before and not self.figures:
            for signal, receiver in self._signals:
                signal.disconnect(receiver)
            self._lines.give_back()
            unhook(self, self._app, "send_task")
            _known.pop(self._app, None)

    # In the process that sends.

    def _wrap(self, send: Any) -> Any:
        @functools.wraps(send)
        def send_task(*args: Any, **options: Any) -> Any:
            begun = self._sending(args[0] if args else options.get("name"))
            if begun is None:
                return send(*args, **options)
            token = sending.set(begun)
            error = None
            try:
                return send(*args, **options)
            except BaseException as caught:
                error = caught
                raise
            finally:
                sending.reset(token)
                try:
                    begun.end(error)
                except Exception as own:
                    failures.contain(FEATURE, own)

        return send_task

    def _sending(self, name: Any) -> Sending | None:
        try:
            return Sending(self._traced, str(name)) if self.figures else None
        except Exception as error:
            failures.contain(FEATURE, error)
            return None

    def _address(
        self, sender: Any = None, headers: Any = None, exchange: Any = None, routing_key: Any = None, **_: Any
    ) -> None:
        begun = sending.get()
        if begun is None or begun.name != sender or not isinstance(headers, dict) or not self.figures:
            return
        if begun.figures not in self.figures:
            return  # another application's
        try:
            task = self._app.current_task
            request = None if task is None else task.request
            came = {} if request is None else received(request, (begun.figures.header, *trace_fields()))
            begun.address(headers, came, exchange, routing_key)
        except Exception as error:
            failures.contain(FEATURE, error)

    # In the process that runs it.

    def _begin(self, sender: Any = None, task: Any = None, **_: Any) -> None:
        try:
            if self.figures and self._ours(task):
                running.set(Run(self.figures, self._traced, self._teller, task, task.request))
        except Exception as error:
            failures.contain(FEATURE, error)

    def _end(self, sender: Any = None, task: Any = None, retval: Any = None, state: Any = None, **_: Any) -> None:
        run = running.get()
        if run is None or not self._ours(task) or run.task_id != task.request.id:
            return
        running.set(run.outer)
        try:
            run.end(state, retval, told_elsewhere=current_process().name != _MAIN)
        except Exception as error:
            failures.contain(FEATURE, error)
        for call in self.after:
            call()

    # In the process that waits for those that run tasks.

    def _receive(self, request: Any = None, **_: Any) -> None:
        try:
            self._received[request.id] = request
        except Exception as error:
            failures.contain(FEATURE, error)

    def _lost(self, sender: Any = None, task_id: Any = None, exception: Any = None, **_: Any) -> None:
        """A task failed: here if it runs here, else with the process that ran it, which could not tell."""
        run = running.get()
        if (run is not None and run.task_id == task_id) or isinstance(exception, Reject) or not self._ours(sender):
            return
        try:
            waited = self._received.pop(task_id, None)
            if waited is not None:
                self._gone.append(task_id)
            elif task_id in self._gone:
                return  # Celery tells twice of a task that ran out of its time: once more as its process has ended.
            request = None if waited is None else waited._context
            self._tell(sender, "failure", request, exception, task_id=task_id)
        except Exception as error:
            failures.contain(FEATURE, error)

    def _revoked(self, sender: Any = None, request: Any = None, **_: Any) -> None:
        try:
            if self._ours(sender):
                self._tell(sender, "revoked", request, None)
        except Exception as error:
            failures.contain(FEATURE, error)

    def _tell(self, task: Any, status: str, request: Any, error: BaseException | None, **fields: Any) -> None:
        for figures in distinct(self.figures):
            figures.count(task.name, status, None)
        if request is not None:
            fields |= described(request) | {"request_id": request_id_of(request, self._traced.header)}
        self._teller.tell(task.name, status, None, error, False, **fields)

    def _ours(self, task: Any) -> bool:
        return task is not None and getattr(task, "app", None) is self._app


def tasks_of(app: Any) -> Tasks:
    """Return what follows the tasks of an application, the same one for all parts."""
    found = _known.get(app)
    if found is None:
        found = _known[app] = Tasks(app)
    return found


_known: dict[Any, Tasks] = {}
"""Of each application on which something is installed."""
