"""What an error looks like: the envelope of Belvedere, or a problem document (RFC 9457), and who gets which."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson

from belvedere.asgi.negotiation import quality

ENVELOPE_TYPE = "application/json"
PROBLEM_TYPE = "application/problem+json"

_RENAMED = {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}
"""What RFC 9110 calls statuses that Python knew by their older names until 3.13."""


@dataclass(frozen=True, slots=True)
class Fault:
    """An error as its caller may know it; `details` is `None` where there are none."""

    status: int
    error: str
    message: str
    request_id: str | None
    details: Any = None
    listed: bool = False
    """Whether the details are those of a validation, which a problem document calls `errors`."""


def phrase(status: int) -> str:
    """Return the name that RFC 9110 has for a status."""
    if status in _RENAMED:
        return _RENAMED[status]
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def envelope(fault: Fault) -> bytes:
    """Return `{"error","message","request_id"}`, with `details` where there are some."""
    body: dict[str, Any] = {"error": fault.error, "message": fault.message}
    if fault.details is not None:
        body["details"] = fault.details
    body["request_id"] = fault.request_id
    return _json(body, "details")


def problem(fault: Fault) -> bytes:
    """Return a problem document. Its type being `about:blank`, its title is the status's name (RFC 9457, 4.2.1)."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": phrase(fault.status),
        "status": fault.status,
        "detail": fault.message,
        "request_id": fault.request_id,
    }
    name = "errors" if fault.listed else "details"
    if fault.details is not None:
        body[name] = fault.details
    return _json(body, name)


def prefers_problem(accept: str) -> bool:
    """Whether an `Accept` header asks for problem documents by name, and for no plain JSON rather than them.

    `*/*` names neither: the envelope is then as good (RFC 9110, section 12.5.1). One look at each element.
    """
    if PROBLEM_TYPE not in accept.lower():
        return False
    problems = plain = 0.0
    for element in accept.lower().split(","):
        media_type, *parameters = element.split(";")
        media_type = media_type.strip()
        if media_type == PROBLEM_TYPE:
            problems = max(problems, quality(parameters))
        elif media_type == ENVELOPE_TYPE:
            plain = max(plain, quality(parameters))
    return problems > 0 and problems >= plain


def _json(body: dict[str, Any], spare: str) -> bytes:
    """Return `body` as JSON; without its member `spare`, should that be something JSON cannot hold."""
    try:
        return orjson.dumps(body, default=_plain, option=orjson.OPT_NON_STR_KEYS)
    except (TypeError, ValueError, RecursionError):
        pass
    try:
        # Integers past 64 bits and lone surrogates, both of which a caller can send and an application repeat.
        return _ascii(body)
    except (TypeError, ValueError, RecursionError):
        return _ascii({name: value for name, value in body.items() if name != spare})


def _ascii(body: dict[str, Any]) -> bytes:
    return json.dumps(body, default=_plain, allow_nan=False, separators=(",", ":")).encode("ascii")


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, set | frozenset):
        return list(value)
    return type(value).__name__ if isinstance(value, BaseException) else str(value)
