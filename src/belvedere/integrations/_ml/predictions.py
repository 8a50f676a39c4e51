"""Counts, times and traces what decorated functions predict."""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, NamedTuple

from belvedere import failures
from belvedere.context import async_generator_within
from belvedere.conventions import DURATION_BUCKETS, ML_DURATION, ML_PREDICTIONS, SpanAttribute
from belvedere.integrations.spans import ClientSpans
from belvedere.parts import Host

FEATURE = "ml"
SUCCESS = "success"
ERROR = "error"
CANCELLED = "cancelled"
"""Given up before its end: by a cancelled task, or by whoever stopped reading a generator."""

_NOTHING: AbstractContextManager[None] = nullcontext()


class Known(NamedTuple):
    """A model's cells: of each status, and of the time."""

    add: dict[str, Callable[[], None]]
    observe: Callable[[float], None]


class Predictions:
    """What one installed part counts.

    Args:
        host: has metrics and provider.
    """

    def __init__(self, host: Host) -> None:
        predictions, duration = ML_PREDICTIONS, ML_DURATION
        self._count = host.metric("counter", predictions.name, predictions.help, predictions.labels)
        self._duration = host.metric(
            "histogram", duration.name, duration.help, duration.labels, buckets=DURATION_BUCKETS
        )
        self._known: dict[str, Known] = {}
        # Nobody else makes spans of these.
        self.spans = ClientSpans(host, ("", ""), {})
        self.clock = time.perf_counter

    def known(self, model: str) -> Known:
        """Return the cells of a model."""
        known = self._known.get(model)
        if known is None:
            add = {status: self._count.labels(model, status).inc for status in (SUCCESS, ERROR, CANCELLED)}
            known = self._known[model] = Known(add, self._duration.labels(model).observe)
        return known


class Prediction:
    """One prediction, from entering to leaving.

    Args:
        predictions: where it is counted.
        model: its name.
        current: whether its span is the current one meanwhile: not where others run between its steps.
    """

    __slots__ = ("_began", "_current", "_model", "_predictions", "_span", "_token")

    def __init__(self, predictions: Predictions, model: str, *, current: bool) -> None:
        self._predictions = predictions
        self._model = model
        self._current = current
        self._span: Any = None
        self._token: Any = None

    def __enter__(self) -> None:
        if self._predictions.spans.tracer is not None:
            try:
                self._begin_span()
            except Exception as error:
                failures.contain(FEATURE, error)
        self._began = self._predictions.clock()

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        try:
            seconds = self._predictions.clock() - self._began
            if self._token is not None:
                from opentelemetry import context

                context.detach(self._token)
            status = SUCCESS
            if error is not None:
                status = CANCELLED if isinstance(error, asyncio.CancelledError | GeneratorExit) else ERROR
            known = self._predictions.known(self._model)
            known.add[status]()
            known.observe(seconds)
            if self._span is not None:
                self._predictions.spans.end(self._span, error)
        except Exception as own:
            failures.contain(FEATURE, own)

    def _begin_span(self) -> None:
        from opentelemetry import context, trace

        attributes = {SpanAttribute.MODEL: self._model}
        self._span = self._predictions.spans.begin(f"predict {self._model}", attributes, kind="INTERNAL")
        if self._current and self._span is not None:
            self._token = context.attach(trace.set_span_in_context(self._span))


def watched(predictions: Callable[[], Predictions | None], model: str, function: Any) -> Any:
    """Return what is called instead of a function that predicts.

    Args:
        predictions: returns where to count at the time, `None`: nowhere.
        model: its name.
        function: of any kind.
    """
    if isinstance(function, staticmethod | classmethod):
        return type(function)(watched(predictions, model, function.__func__))

    def prediction(*, current: bool) -> AbstractContextManager[None]:
        now = predictions()
        return _NOTHING if now is None else Prediction(now, model, current=current)

    def items_here(*args: Any, **kwargs: Any) -> Any:
        with prediction(current=False):
            return (yield from function(*args, **kwargs))

    async def call_async(*args: Any, **kwargs: Any) -> Any:
        with prediction(current=True):
            return await function(*args, **kwargs)

    def call_here(*args: Any, **kwargs: Any) -> Any:
        with prediction(current=True):
            return function(*args, **kwargs)

    kinds: list[tuple[Callable[[Any], bool], Callable[..., Any]]] = [
        (inspect.isasyncgenfunction, async_generator_within(lambda: prediction(current=False), function)),
        (inspect.isgeneratorfunction, items_here),
        (inspect.iscoroutinefunction, call_async),
    ]
    # Of an object that can be called, what it is called by.
    looked_at = (function, getattr(type(function), "__call__", None))  # noqa: B004
    wrapped = next((made for is_one, made in kinds if any(map(is_one, looked_at))), call_here)
    return functools.wraps(function, updated=("__dict__",) if inspect.isroutine(function) else ())(wrapped)
