"""Has an application's OpenAPI schema show the errors that it really answers with.

Every operation can fail with a 500 and, by an `HTTPException`, with any 4xx; its 422 is not FastAPI's own shape. What
the application declared with a content of its own stays, and so does what its own exception handlers answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from fastapi.exception_handlers import http_exception_handler, request_validation_exception_handler
from fastapi.exceptions import HTTPException as FastAPIHTTPException
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from belvedere import failures
from belvedere.problems.answers import by_dependencies
from belvedere.problems.shapes import ENVELOPE_TYPE, PROBLEM_TYPE, phrase

Schema = dict[str, Any]

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace", "query")
_FRAMEWORK_VALIDATION = "#/components/schemas/HTTPValidationError"
_FRAMEWORK_COMPONENTS = ("HTTPValidationError", "ValidationError")
_ERROR_STATUSES = frozenset("45")

_TEXT: Schema = {"type": "string"}
_REQUEST_ID: Schema = {
    "type": "string",
    "description": "The id that the response's header and the service's logs carry.",
}
_ERROR: Schema = {"type": "string", "description": "What kind of error: `http_404`, `validation_error`, …"}
_DETAILS: Schema = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "loc": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}},
            "msg": _TEXT,
            "type": _TEXT,
        },
        "required": ["loc", "msg", "type"],
    },
}

COMPONENTS: dict[str, Schema] = {
    "ErrorEnvelope": {
        "title": "ErrorEnvelope",
        "type": "object",
        "properties": {
            "error": _ERROR,
            "message": _TEXT,
            "details": {"description": "What an error tells besides a text."},
            "request_id": _REQUEST_ID,
        },
        "required": ["error", "message", "request_id"],
    },
    "ValidationErrorEnvelope": {
        "title": "ValidationErrorEnvelope",
        "type": "object",
        # No details where the application raised the 422 itself.
        "properties": {"error": _ERROR, "message": _TEXT, "details": _DETAILS, "request_id": _REQUEST_ID},
        "required": ["error", "message", "request_id"],
    },
    "ProblemDocument": {
        "title": "ProblemDocument",
        "description": "RFC 9457",
        "type": "object",
        "properties": {
            "type": {"type": "string", "format": "uri-reference"},
            "title": _TEXT,
            "status": {"type": "integer"},
            "detail": _TEXT,
            "request_id": _REQUEST_ID,
            "errors": _DETAILS,
            "details": {"description": "What an error tells besides a text."},
        },
        "required": ["type", "title", "status", "detail", "request_id"],
    },
}
"""The schemas that are added, under these names unless the application has other schemas of the same name."""


def document(app: Any, *, problem_only: bool) -> Callable[[], None]:
    """Wrap `app.openapi`, which is called as before; return what undoes it. Where there is none, nothing happens.

    Args:
        app: the application; its handlers are looked at when the schema is asked for.
        problem_only: whether nobody gets the envelope.
    """
    original = getattr(app, "openapi", None)
    if not callable(original):
        return lambda: None
    own = vars(app).get("openapi")
    made: tuple[Any, Any] | None = None

    def openapi() -> Any:
        nonlocal made
        schema = original()
        # FastAPI makes its schema once and returns the same one from then on; applications change it in place.
        if made is None or made[0] is not schema:
            try:
                documented = Documented(
                    schema, _answered_by_us(app), problem_only=problem_only, added=by_dependencies(app)
                )
                made = schema, documented.schema
            except Exception as error:  # A schema of a shape that nobody foresaw is better than none.
                failures.contain("problems", error)
                return schema
        return made[1]

    app.openapi = openapi

    def undo() -> None:
        if vars(app).get("openapi") is not openapi:
            return  # Somebody put another there meanwhile.
        if own is None:
            del app.openapi
        else:
            app.openapi = own

    return undo


def _answered_by_us(app: Any) -> Callable[[str], bool]:
    """Return what tells whether errors of a status (or range, as `4XX`) have our shape in `app`."""
    handlers: Mapping[Any, Any] = getattr(app, "exception_handlers", {})
    validation = handlers.get(RequestValidationError) in {None, request_validation_exception_handler}
    http = handlers.get(HTTPException) in {None, http_exception_handler} and FastAPIHTTPException not in handlers
    unhandled = not {500, Exception} & handlers.keys()

    def ours(status: str) -> bool:
        if status.isdigit() and int(status) in handlers:
            return False
        return {"422": validation, "500": unhandled}.get(status, http)

    return ours


class Documented:
    """A schema with its errors, which shares with the one it was made from whatever it need not change.

    Args:
        schema: an OpenAPI document.
        ours: whether errors of a status have our shape.
        problem_only: whether nobody gets the envelope.
        added: responses that operations have besides, by path and method.
    """

    def __init__(
        self,
        schema: Schema,
        ours: Callable[[str], bool],
        *,
        problem_only: bool,
        added: Mapping[tuple[str, str], Mapping[str, Any]] = MappingProxyType({}),
    ) -> None:
        self._ours = ours
        self._added = added
        self._problem_only = problem_only
        self._taken: dict[str, Schema] = dict(schema.get("components", {}).get("schemas", {}))
        self._used: dict[str, str] = {}
        paths = {path: self._item(path, item) for path, item in schema.get("paths", {}).items()}
        self.schema = {**schema, "paths": paths} if paths else schema
        if self._used:
            self.schema["components"] = {**schema.get("components", {}), "schemas": self._taken}
            for name in _FRAMEWORK_COMPONENTS:
                if name in self._taken and f"#/components/schemas/{name}" not in set(_references(self.schema)):
                    del self._taken[name]

    def _item(self, path: str, item: Schema) -> Schema:
        return {
            key: self._operation(value, self._added.get((path, key), {}))
            if key in _METHODS and isinstance(value, dict)
            else value
            for key, value in item.items()
        }

    def _operation(self, operation: Schema, added: Mapping[str, Any]) -> Schema:
        declared: dict[str, Any] = {**added, **operation.get("responses", {})}
        responses = {status: self._response(str(status), response) for status, response in declared.items()}
        for status, general in (("500", "5XX"), ("4XX", "4XX")):
            if not {status, general, "default"} & responses.keys() and self._ours(status):
                responses[status] = {
                    "description": phrase(500) if status == "500" else "Client Error",
                    "content": self._content("ErrorEnvelope"),
                }
        return {**operation, "responses": responses}

    def _response(self, status: str, response: Any) -> Any:
        if not isinstance(response, dict) or "$ref" in response or not self._ours(status):
            return response
        name = "ValidationErrorEnvelope" if status == "422" else "ErrorEnvelope"
        if status == "422" and _is_frameworks(response):
            return {**response, "content": self._content(name)}
        if status[:1] in _ERROR_STATUSES and "content" not in response:
            return {**response, "content": self._content(name)}
        return response

    def _content(self, name: str) -> Schema:
        problem = {PROBLEM_TYPE: {"schema": {"$ref": self._reference("ProblemDocument")}}}
        if self._problem_only:
            return problem
        return {ENVELOPE_TYPE: {"schema": {"$ref": self._reference(name)}}, **problem}

    def _reference(self, name: str) -> str:
        if name not in self._used:
            free, number = name, 2
            while self._taken.get(free, COMPONENTS[name]) != COMPONENTS[name]:
                free, number = f"{name}{number}", number + 1
            self._taken[free] = COMPONENTS[name]
            self._used[name] = free
        return f"#/components/schemas/{self._used[name]}"


def _is_frameworks(response: Schema) -> bool:
    content = response.get("content", {})
    return list(content) == [ENVELOPE_TYPE] and content[ENVELOPE_TYPE].get("schema") == {"$ref": _FRAMEWORK_VALIDATION}


def _references(node: Any) -> Iterator[str]:
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            reference = node.get("$ref")
            if isinstance(reference, str):
                yield reference
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
