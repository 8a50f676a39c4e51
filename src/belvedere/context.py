"""What is known about the request that is being served, wherever the code that asks may run.

One mutable `RequestContext` per request lives in one context variable and in the ASGI scope, so that copies of the
scope, worker threads, tasks and exception handlers all see the same object: what an endpoint binds, the access line
shows.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar, Token
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol, Self, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

SCOPE_KEY = "belvedere.request"
"""Where the pass leaves the `RequestContext` in the ASGI scope."""

_ID_BYTES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~:/+=@-"
_ID_LENGTH = 128
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Plan(Protocol):
    """What a request knows of the application that serves it."""

    service: Mapping[str, str]
    on_route: Callable[[RequestContext, dict[str, Any]], None] | None
    on_mount: Callable[[Any], None] | None


class RequestContext:
    """One request or WebSocket connection, from its first byte to its last; the pass makes it.

    Observers read it; the pass, the routes and the application's `bind()` write it. Times are seconds of the monotonic
    clock, sizes are bytes of the bodies. A status of 499 says that the client went away before the answer. `parent_id`
    is what a valid `traceparent` named, `span` the server span, whoever made it.
    """

    __slots__ = (
        "answer_headers",
        "begun_as",
        "bound",
        "client",
        "disconnected",
        "duration",
        "endpoint",
        "exception",
        "excluded",
        "headers",
        "method",
        "notes",
        "parent_id",
        "path",
        "plan",
        "request_bytes",
        "request_id",
        "response_bytes",
        "route",
        "route_scope",
        "sampled",
        "scope",
        "span",
        "span_id",
        "started",
        "status",
        "trace_id",
        "websocket",
    )

    plan: Plan
    scope: dict[str, Any]
    headers: dict[bytes, bytes]
    method: str
    path: str
    client: str | None
    request_id: str
    trace_id: str
    parent_id: str | None
    span: Any
    span_id: str | None
    sampled: bool
    bound: dict[str, Any] | None
    route: Any
    route_scope: dict[str, Any] | None
    endpoint: str
    begun_as: str
    websocket: bool
    excluded: bool
    started: float
    duration: float
    status: int
    exception: BaseException | None
    answer_headers: list[tuple[bytes, bytes]] | None
    """Headers, in lower case, that this one answer is to carry, unless the application sets its own of that name."""
    notes: dict[Any, Any] | None
    """What the application says of it to parts, each under its part."""
    disconnected: bool
    request_bytes: int
    response_bytes: int

    @property
    def service(self) -> Mapping[str, str]:
        """The name and environment of the application that serves it, as its log lines show them."""
        return self.plan.service


current: ContextVar[RequestContext | None] = ContextVar("belvedere_request", default=None)
"""The request being served; `None` outside one."""

_fields: ContextVar[Mapping[str, Any]] = ContextVar("belvedere_fields", default=_NOTHING)
_job_id: ContextVar[str | None] = ContextVar("belvedere_job_id", default=None)

PROPAGATED: Final = ("traceparent", "tracestate", "baggage")
"""What W3C has go along with a request: https://www.w3.org/TR/trace-context-2/, https://www.w3.org/TR/baggage/."""


class Trace(NamedTuple):
    """The trace that a job outside requests belongs to: ids, and what came with the job to be passed on."""

    trace_id: str | None = None
    span_id: str | None = None
    carrier: Mapping[str, str] = _NOTHING


_job_trace: ContextVar[Trace | None] = ContextVar("belvedere_job_trace", default=None)


def valid_id(value: bytes) -> bool:
    """Whether a caller's id may be kept: 1 to 128 of `A-Z a-z 0-9 . _ ~ : / + = @ -`, safe in headers, logs and
    queries."""
    return 0 < len(value) <= _ID_LENGTH and not value.translate(None, _ID_BYTES)


def request_id() -> str | None:
    """Return the id of the request being served, or of the job that `set_request_id` named; `None` outside both."""
    context = current.get()
    return _job_id.get() if context is None else context.request_id


def set_request_id(value: str | None) -> None:
    """Give a job that runs outside any request the id that its log lines carry; `None` takes it away.

    A request keeps the id it was answered with: inside one, this changes nothing.

    Raises:
        ValueError: the value is no valid id.
    """
    if value is not None and not valid_id(value.encode("utf-8", "replace")):
        raise ValueError(f"{value!r} is no request id: use 1 to 128 of the characters A-Z a-z 0-9 . _ ~ : / + = @ -")
    _job_id.set(value)


def job_trace() -> Trace | None:
    """Return the trace of the job that runs here outside any request; `None` if it has none."""
    return _job_trace.get()


def carried() -> Mapping[str, str]:
    """Return the trace context that came with the request or job: what goes on where nobody makes spans."""
    context = current.get()
    if context is None:
        trace = _job_trace.get()
        return _NOTHING if trace is None else trace.carrier
    if context.parent_id is None:
        return _NOTHING
    came = context.headers
    return {name: came[key].decode("latin-1") for name in PROPAGATED if (key := name.encode()) in came}


class Job:
    """One job outside requests: from `begin` to `end`, its lines carry these ids; what it binds ends with it.

    Args:
        request_id: its id, which is valid.
        trace: that it belongs to.
    """

    def __init__(self, request_id: str, trace: Trace | None = None) -> None:
        self._now: tuple[tuple[ContextVar[Any], Any], ...] = (
            (_job_id, request_id),
            (_job_trace, trace),
            (_fields, _fields.get()),
        )
        self._tokens: list[tuple[ContextVar[Any], Token[Any]]] = []

    def begin(self) -> None:
        """Have what is logged from here on in this task or thread belong to the job."""
        self._tokens = [(variable, variable.set(value)) for variable, value in self._now]

    def end(self) -> None:
        """Leave everything as it was before."""
        while self._tokens:
            give_back(*self._tokens.pop())


def bind(**fields: Any) -> None:
    """Add fields to what is known of this request: its log lines, access line, span and context labels show them.

    Outside a request, the fields stay with the current task or thread.
    """
    context = current.get()
    if context is None:
        _fields.set({**_fields.get(), **fields})
    elif context.bound is None:
        context.bound = fields
    else:
        context.bound.update(fields)


def bound_fields() -> Mapping[str, Any]:
    """Return what `LogContext` (and `bind` outside a request) added to the lines of the current task."""
    return _fields.get()


class LogContext:
    """Add fields to every log line inside a `with` block, or inside each call of a decorated function.

    Blocks nest, the inner one winning; sync and async functions and generators alike can be decorated.

        with LogContext(user_id=7, operation="upload"): ...
    """

    def __init__(self, **fields: Any) -> None:
        self._added = fields
        self._tokens: list[Token[Mapping[str, Any]]] = []

    def __enter__(self) -> Self:
        self._tokens.append(_fields.set({**_fields.get(), **self._added}))
        return self

    def __exit__(self, *_: object) -> None:
        give_back(_fields, self._tokens.pop())

    def __call__(self, function: F) -> F:
        """Decorate `function`; every call gets a context of its own, so that concurrent calls never share a token."""
        wrapped: Any
        if inspect.isasyncgenfunction(function):
            wrapped = functools.wraps(function)(async_generator_within(lambda: LogContext(**self._added), function))
        elif inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def coroutine(*args: Any, **kwargs: Any) -> Any:
                with LogContext(**self._added):
                    return await function(*args, **kwargs)

            wrapped = coroutine
        elif inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
                with LogContext(**self._added):
                    return (yield from function(*args, **kwargs))

            wrapped = generator
        else:

            @functools.wraps(function)
            def call(*args: Any, **kwargs: Any) -> Any:
                with LogContext(**self._added):
                    return function(*args, **kwargs)

            wrapped = call
        result: F = wrapped
        return result


def async_generator_within(
    enter: Callable[[], AbstractContextManager[Any]], function: Callable[..., Any]
) -> Callable[..., Any]:
    """Decorate an async generator; what is sent or thrown into it is handed on, as `yield from` does for others.

    Args:
        enter: returns what each run is within.
        function: returns the generator.
    """

    async def async_generator(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        with enter():
            inner = function(*args, **kwargs)
            step = anext(inner)
            while True:
                try:
                    item = await step
                except StopAsyncIteration:
                    return
                try:
                    sent = yield item
                except GeneratorExit:
                    await inner.aclose()
                    raise
                except BaseException as error:  # a dependency of FastAPI's learns so how its request ended
                    step = inner.athrow(error)
                else:
                    step = inner.asend(sent)

    return async_generator


def give_back(variable: ContextVar[Any], token: Token[Any]) -> None:
    """Reset `variable`, unless the token came from another context.

    A generator that is closed early is closed by whoever drops it, often elsewhere than where it began: there is then
    nothing to give back, and nothing to complain about.
    """
    try:
        variable.reset(token)
    except ValueError:
        return
