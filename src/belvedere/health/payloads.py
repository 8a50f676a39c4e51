"""What probes say, in the two forms that a setting chooses from.

`compact` is a word for each check, `full` an object with its latency and details. Neither shows an exception's text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from belvedere.health.calls import Outcome
from belvedere.parts import Check

Payload = dict[str, Any]
Results = Sequence[tuple[Check, Outcome]]
"""Checks in the order in which they were added, with what each said."""


class Form(Protocol):
    """How a probe words what it knows."""

    def alive(self, status: str) -> Payload:
        """Return what a probe says that checks nothing; `status` is in the words of the full form."""

    def checked(self, status: str, results: Results, error: str | None, *, named: bool) -> Payload:
        """Return what a probe says that has checks; `named`: the full form tells the service as well."""


class Compact:
    """`{"status":"ready","checks":{"database":"ok"}}`, and why not in `error`.

    Args:
        fields: what liveness tells besides: values, or callables that are asked each time.
    """

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = fields

    def alive(self, status: str) -> Payload:
        return {"status": "ok", **{name: value() if callable(value) else value for name, value in self._fields.items()}}

    def checked(self, status: str, results: Results, error: str | None, *, named: bool) -> Payload:
        payload: Payload = {"status": status}
        if results or not named:
            payload["checks"] = {check.name: "ok" if outcome.passed else "failed" for check, outcome in results}
        if error is None:
            error = first_failure(results)
        if error is not None:
            payload["error"] = error
        return payload


class Full:
    """Each check as an object, and when that was.

    Args:
        service: the service's name.
        timestamp: returns the time as text.
    """

    def __init__(self, service: str, timestamp: Any) -> None:
        self._service = service
        self._timestamp = timestamp

    def alive(self, status: str) -> Payload:
        return {"status": status, "service": self._service, "timestamp": self._timestamp()}

    def checked(self, status: str, results: Results, error: str | None, *, named: bool) -> Payload:
        payload: Payload = {"status": status}
        if named:
            payload["service"] = self._service
        if results or not named:
            payload["checks"] = {check.name: _one(check, outcome) for check, outcome in results}
        if error is not None:
            payload["error"] = error
        payload["timestamp"] = self._timestamp()
        return payload


def first_failure(results: Results) -> str | None:
    """Return the message of the first critical check that failed."""
    return next((check.message for check, outcome in results if check.critical and not outcome.passed), None)


def _one(check: Check, outcome: Outcome) -> Payload:
    head = {"status": "healthy" if outcome.passed else "unhealthy", "latency_ms": round(outcome.seconds * 1000, 2)}
    tail = {} if outcome.passed else {"error": check.message}
    own = {name: value for name, value in outcome.details.items() if name not in {"status", "latency_ms", "error"}}
    return {**head, **own, **tail}
