"""Decorators that time and count calls of sync and async functions."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def track_time(metric: Any, *labels: object, clock: Callable[[], float] = time.perf_counter) -> Callable[[F], F]:
    """Observe how long each call takes, in seconds, whether it succeeds or raises.

    Args:
        metric: a histogram or summary (or a gauge, which keeps the last).
        labels: values of the metric's labels, in its order.

    Raises:
        ValueError: the metric has other labels.
    """
    child = _child(metric, labels)
    observe: Callable[[float], None] | None = getattr(child, "observe", None) or getattr(child, "set", None)
    if observe is None:
        raise TypeError(f"track_time needs a histogram, not {metric!r}")
    timed = observe

    def decorate(function: F) -> F:
        wrapped: Any
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def coroutine(*args: Any, **kwargs: Any) -> Any:
                started = clock()
                try:
                    return await function(*args, **kwargs)
                finally:
                    timed(clock() - started)

            wrapped = coroutine
        else:

            @functools.wraps(function)
            def call(*args: Any, **kwargs: Any) -> Any:
                started = clock()
                try:
                    return function(*args, **kwargs)
                finally:
                    timed(clock() - started)

            wrapped = call
        result: F = wrapped
        return result

    return decorate


def track_count(metric: Any, *labels: object) -> Callable[[F], F]:
    """Count each call that succeeds; one that raises is not counted.

    Args:
        metric: a counter (or gauge).
        labels: values of the metric's labels, in its order.

    Raises:
        ValueError: the metric has other labels.
    """
    count = getattr(_child(metric, labels), "inc", None)
    if count is None:
        raise TypeError(f"track_count needs a counter, not {metric!r}")
    increment: Callable[[], None] = count

    def decorate(function: F) -> F:
        wrapped: Any
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def coroutine(*args: Any, **kwargs: Any) -> Any:
                value = await function(*args, **kwargs)
                increment()
                return value

            wrapped = coroutine
        else:

            @functools.wraps(function)
            def call(*args: Any, **kwargs: Any) -> Any:
                value = function(*args, **kwargs)
                increment()
                return value

            wrapped = call
        result: F = wrapped
        return result

    return decorate


def _child(metric: Any, labels: tuple[object, ...]) -> Any:
    names = tuple(getattr(metric, "_labelnames", ())) if not getattr(metric, "_labelvalues", ()) else ()
    if len(names) != len(labels):
        raise ValueError(
            f"{metric!r} has the labels {', '.join(names) or '(none)'}; "
            f"{len(labels)} value{'' if len(labels) == 1 else 's'} given: {', '.join(map(repr, labels)) or '(none)'}"
        )
    return metric.labels(*labels) if labels else metric
