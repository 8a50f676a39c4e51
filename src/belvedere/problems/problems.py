"""Answers errors in one shape, and logs each one once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import Response

from belvedere import failures
from belvedere.asgi.endings import has_left, only_one
from belvedere.context import SCOPE_KEY, RequestContext, current
from belvedere.conventions import Event
from belvedere.problems import openapi, shapes, validation
from belvedere.problems.cross_origin import readable
from belvedere.problems.shapes import Fault
from belvedere.redaction import Redactor
from belvedere.settings import Settings

Send = Callable[[dict[str, Any]], Awaitable[None]]
Handler = Callable[[Any, Any], Awaitable[Any]]

MOST_ERRORS = 20
"""Errors of one request that its log event lists; the rest are counted."""

_LOGGED = "__belvedere_logged__"
"""Where an exception keeps for which request it has been logged."""
_BODILESS = frozenset({204, 205, 304})
_BODY_HEADERS = frozenset({"content-length", "content-type", "content-encoding", "transfer-encoding"})


class Problems:
    """The handlers that an application is lent, and what the pass calls where no handler answered.

    Args:
        settings: the service's settings; with `settings.problems` off there are no handlers and nothing is documented,
            while exceptions are still logged.
        logger: gets `http_exception`, `validation_error` and `unhandled_exception`; `None`: no events.
    """

    def __init__(self, settings: Settings, logger: Any = None) -> None:
        self._on = settings.problems is not None
        self._always_problem = settings.problems is not None and settings.problems.format == "problem"
        self._logger = logger
        self._path = Redactor.after(settings).paths.shown
        self.handlers: dict[Any, Handler] = {}
        if self._on:
            self.handlers = {
                HTTPException: self._http_exception,
                RequestValidationError: self._validation_error,
                Exception: self._unhandled_exception,
            }

    async def answer_failure(self, request: RequestContext, send: Send) -> None:
        """Send the 500 for an application that answered nothing."""
        if not self._on:
            return
        response = self._respond(request.scope, _internal(request.request_id))
        await readable(request.scope, response)(request.scope, _receive_nothing, send)

    def failed(self, request: RequestContext | None, error: BaseException) -> None:
        """Log `unhandled_exception` with its traceback, once per request, unless its client has left."""
        if request is not None and has_left(request, error):
            return
        # An exception may be one object that the application raises each time.
        occurrence = None if request is None else (request.request_id, request.started)
        cause = only_one(error)
        marks = vars(cause)
        if occurrence is not None and marks.get(_LOGGED) == occurrence:
            return
        marks[_LOGGED] = occurrence
        self._log(
            "error",
            Event.UNHANDLED_EXCEPTION,
            request,
            exception_type=type(cause).__name__,
            exception_message=_text(cause),
            exc_info=error,
        )

    def document(self, app: Any) -> Callable[[], None]:
        """Have the OpenAPI schema of `app` show these errors; return what undoes it."""
        if not self._on:
            return lambda: None
        return openapi.document(app, problem_only=self._always_problem)

    async def _http_exception(self, connection: HTTPConnection, error: HTTPException) -> Response:
        request = _context(connection.scope)
        status = error.status_code
        if status >= 400 and not (request is not None and request.excluded):
            self._log("warning", Event.HTTP_EXCEPTION, request, status_code=status)
        headers = _own_headers(error)
        if status < 200 or status in _BODILESS:
            return Response(status_code=status, headers=headers)
        detail: Any = error.detail  # FastAPI's own may be anything.
        message = detail if isinstance(detail, str) and detail else shapes.phrase(status)
        fault = Fault(
            status,
            f"http_{status}",
            message,
            _request_id(request),
            details=None if isinstance(detail, str) else detail,
        )
        return self._respond(connection.scope, fault, headers)

    async def _validation_error(self, connection: HTTPConnection, error: RequestValidationError) -> Response:
        request = _context(connection.scope)
        try:
            details = validation.details(error.errors())
        except Exception as failure:  # An application's own kind of error; the answer is still a 422.
            failures.contain("problems", failure)
            details = []
        if not (request is not None and request.excluded):
            more = {"errors_omitted": len(details) - MOST_ERRORS} if len(details) > MOST_ERRORS else {}
            self._log("warning", Event.VALIDATION_ERROR, request, errors=details[:MOST_ERRORS], **more)
        fault = Fault(422, "validation_error", "Request validation failed", _request_id(request), details, listed=True)
        return self._respond(connection.scope, fault)

    async def _unhandled_exception(self, connection: HTTPConnection, error: Exception) -> Any:
        request = _context(connection.scope)
        self.failed(request, error)
        return readable(connection.scope, self._respond(connection.scope, _internal(_request_id(request))))

    def _respond(self, scope: Mapping[str, Any], fault: Fault, headers: Mapping[str, str] | None = None) -> Response:
        as_problem = self._always_problem or shapes.prefers_problem(_accept(scope))
        body = shapes.problem(fault) if as_problem else shapes.envelope(fault)
        # Beside the headers that the exception brought: a HEAD is told the length that the GET would have.
        response = Response(b"" if scope.get("method") == "HEAD" else body, fault.status, headers)
        response.headers["content-length"] = str(len(body))
        response.headers["content-type"] = shapes.PROBLEM_TYPE if as_problem else shapes.ENVELOPE_TYPE
        if not self._always_problem:
            # Errors such as 404 and 410 may be cached unasked (RFC 9110, section 15.1).
            response.headers.add_vary_header("Accept")
        return response

    def _log(self, level: str, event: str, request: RequestContext | None, **fields: Any) -> None:
        if self._logger is None:
            return
        if request is not None:
            fields = {"path": self._path(request.endpoint, request.path), "method": request.method, **fields}
        try:
            getattr(self._logger, level)(event, **fields)
        except Exception as error:  # A broken processor of the application's must not change its answer.
            failures.contain("problems", error)


def _own_headers(error: HTTPException) -> dict[str, str]:
    """Return the headers that the exception brings, but for those that speak of a body, which is another now."""
    headers: Mapping[str, Any] = getattr(error, "headers", None) or {}
    return {name: str(value) for name, value in headers.items() if name.lower() not in _BODY_HEADERS}


def _internal(request_id: str | None) -> Fault:
    return Fault(500, "internal_server_error", "An unexpected error occurred", request_id)


async def _receive_nothing() -> dict[str, Any]:
    return {"type": "http.disconnect"}


def _context(scope: Mapping[str, Any]) -> RequestContext | None:
    return scope.get(SCOPE_KEY) or current.get()


def _request_id(request: RequestContext | None) -> str | None:
    return None if request is None else request.request_id


def _accept(scope: Mapping[str, Any]) -> str:
    return b",".join(value for name, value in scope["headers"] if name == b"accept").decode("latin-1")


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # Its own `__str__` is broken.
        return ""
