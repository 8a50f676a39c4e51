"""Events of Sentry without what must not leave the process: by key and by shape, in all their parts."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from belvedere.conventions import REDACTED
from belvedere.redaction import Redactor

_PROTOCOL: Final = frozenset(
    {
        "event_id",
        "timestamp",
        "start_timestamp",
        "received",
        "level",
        "platform",
        "release",
        "environment",
        "server_name",
        "dist",
        "sdk",
        "type",
        "modules",
        "transaction_info",
        "measurements",
        "_meta",
        "_metrics_summary",
    }
)
"""Parts that the SDK and the settings write."""
_IDS: Final = frozenset(
    {
        "request_id",
        "trace_id",
        "span_id",
        "parent_span_id",
        "segment_id",
        "profile_id",
        "profiler_id",
        "profiler.id",
        "timestamp",
        "start_timestamp",
        "end_timestamp",
        "time_unix_nano",
        "dynamic_sampling_context",
        "exclusive_time",
        "same_process_as_parent",
    }
)
"""Digits that mean no card."""
_FRAME: Final = ("filename", "abs_path", "function", "module", "lineno", "colno", "in_app", "platform")
_ASSIGNED: Final = re.compile(r"""^(\s*(?:\w+\.)*(\w+)\s*(?::[^=]{1,80})?=\s*)(?=[bruf]?["'])\S.*$""")


def redacted(event: dict[str, Any], redactor: Redactor) -> dict[str, Any]:
    """Return an event as it may be sent."""
    parts: dict[str, Callable[[Any], Any]] = {
        "exception": lambda part: _values(part, lambda each: _thrown(each, redactor)),
        "threads": lambda part: _values(part, lambda each: _thrown(each, redactor)),
        "stacktrace": lambda part: _stack(part, redactor),
        "spans": lambda part: [_fields(each, redactor) for each in part],
        "breadcrumbs": lambda part: _values(part, lambda each: _fields(each, redactor)),
        "contexts": lambda part: {name: _fields(each, redactor) for name, each in part.items()},
        "tags": lambda part: _fields(part, redactor),
    }
    shown: dict[str, Any] = {}
    for name, part in event.items():
        if name in _PROTOCOL or not part:
            shown[name] = part
        elif name in parts:
            shown[name] = parts[name](part)
        elif name == "profile":  # frames alone, and an object of the SDK's
            shown[name] = part
        else:
            shown[name] = redactor.mapping({name: part})[name]
    return shown


def redacted_span(span: dict[str, Any], redactor: Redactor) -> dict[str, Any]:
    """Return a span, log record or metric of the SDK's newer protocol as it may be sent."""
    shown = dict(span)
    for key in ("name", "body"):
        if isinstance(shown.get(key), str):
            shown[key] = redactor.text(shown[key])
    if isinstance(shown.get("attributes"), dict):
        attributes = {key: value for key, value in shown["attributes"].items() if key != "process.command_args"}
        shown["attributes"] = _fields(attributes, redactor)
    return shown


def bare(event: dict[str, Any]) -> dict[str, Any]:
    """Return what of an event tells nothing of anybody: ids, types and places; for one that could not be redacted."""
    shown: dict[str, Any] = {key: event[key] for key in _PROTOCOL - {"_meta"} if key in event}
    shown["tags"] = {
        key: value for key, value in _mapping(event.get("tags")).items() if key in {"request_id", "trace_id"}
    }
    trace = _mapping(_mapping(event.get("contexts")).get("trace"))
    known = (*_IDS, "op", "status", "origin")
    if trace:
        shown["contexts"] = {"trace": {key: trace[key] for key in known if key in trace}}
    if isinstance(event.get("spans"), list):
        spans = [_mapping(each) for each in event["spans"]]
        shown["spans"] = [{key: each[key] for key in known if key in each} for each in spans]
    thrown = _mapping(event.get("exception")).get("values")
    if isinstance(thrown, list):
        shown["exception"] = {"values": [_bare_exception(_mapping(each)) for each in thrown]}
    shown["extra"] = {"belvedere": "what could not be redacted was left out"}
    return shown


def _bare_exception(thrown: dict[str, Any]) -> dict[str, Any]:
    shown = {key: thrown[key] for key in ("type", "module") if isinstance(thrown.get(key), str)}
    frames = _mapping(thrown.get("stacktrace")).get("frames")
    mechanism = _mapping(thrown.get("mechanism"))
    return {
        **shown,
        "value": REDACTED,
        "mechanism": {key: mechanism[key] for key in ("type", "handled") if key in mechanism},
        "stacktrace": {
            "frames": [
                {key: frame[key] for key in _FRAME if key in frame}
                for frame in (frames if isinstance(frames, list) else [])
                if isinstance(frame, dict)
            ]
        },
    }


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _values(part: Any, each: Callable[[Any], Any]) -> Any:
    """Redact what is listed under `values`, or is a list itself."""
    if isinstance(part, dict):
        return {**part, "values": [each(value) for value in part.get("values") or ()]}
    return [each(value) for value in part]


def _fields(fields: Any, redactor: Redactor) -> Any:
    if not isinstance(fields, dict):
        return redactor.mapping({"": fields})[""]
    return {key: value if key in _IDS else redactor.mapping({key: value})[key] for key, value in fields.items()}


def _thrown(thrown: Any, redactor: Redactor) -> Any:
    """Redact an exception or a thread: its text, and what its frames show."""
    if not isinstance(thrown, dict):
        return REDACTED
    return {
        key: _stack(value, redactor) if key in {"stacktrace", "raw_stacktrace"} else redactor.mapping({key: value})[key]
        for key, value in thrown.items()
    }


def _stack(stack: Any, redactor: Redactor) -> Any:
    if not isinstance(stack, dict):
        return stack
    return {**stack, "frames": [_frame(frame, redactor) for frame in stack.get("frames") or ()]}


def _frame(frame: Any, redactor: Redactor) -> Any:
    shown = dict(frame)
    for key in ("pre_context", "post_context"):
        if isinstance(shown.get(key), list):
            shown[key] = [_source(line, redactor) for line in shown[key]]
    if "context_line" in shown:
        shown["context_line"] = _source(shown["context_line"], redactor)
    if "vars" in shown:
        shown["vars"] = redactor.mapping(_mapping(shown["vars"]))
    return shown


def _source(line: Any, redactor: Redactor) -> Any:
    """Redact a line of source: literals that are assigned to names of secrets, and shapes."""
    if not isinstance(line, str):
        return line
    found = _ASSIGNED.match(line)
    if found is not None and redactor.verdict(found[2]) == "redact":
        return f"{found[1]}{REDACTED}"
    return redactor.text(line)
