"""The access line: one for each request, when its last byte has been sent.

It is the line that a service writes most, so most of it is made once for each method, template and status; only what a
client sent is looked at. Everything else goes the way of every line, with the same result.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import orjson

from belvedere import conventions
from belvedere.asgi import idle
from belvedere.asgi.client import masked
from belvedere.context import RequestContext
from belvedere.conventions import CLIENT_CLOSED_REQUEST
from belvedere.logs.output import URGENT, Output
from belvedere.logs.pipeline import Pipeline
from belvedere.logs.serialise import repair

_FIELDS: Final = ("method", "path", "endpoint", "status", "latency_ms", "response_bytes", "client", "disconnected")
_DIFFERING: Final = ("timestamp", "request_id", "trace_id", "path", "latency_ms", "response_bytes")
"""What is not the same in all lines of a method, template and status."""
_OPTION: Final = orjson.OPT_APPEND_NEWLINE
_LEVELS: Final = {20: "info", 30: "warning", 40: "error"}
_REMEMBERED: Final = 2048
"""Clients and kinds of requests, each, whose part of the line is kept: most come again soon."""

Form = dict[str, Any]


class AccessLine:
    """An observer that writes the access line of each request that is not excluded.

    Its level is `info`, `warning` from status 400 on, `error` from 500 on or when an exception got out.

    Args:
        client: how the client's address is shown: `full`, `masked` (the last octet of IPv4 and the last 80 bits of
            IPv6 are zero), or `None`: not at all.
    """

    feature = "logs"

    def __init__(self, client: Literal["full", "masked"] | None) -> None:
        self._client = client
        self._output: Output | None = None

    def use(self, output: Output | None) -> None:
        """Write to `output` from now on; `None`: nowhere."""
        if self._output is not None:
            self._output.pipeline.levels.changed.remove(self._forget)
        self._output = None
        if output is None:
            return
        pipeline = output.pipeline
        name = pipeline.keys.get
        self._reserved = frozenset(_FIELDS) | {name(field, field) for field in _FIELDS}
        # A setting may redact or allow one of these fields, which is for the pipeline to do.
        ordinary = all(pipeline.redactor.verdict(field) == "look" for field in _FIELDS)
        self._by_form = pipeline.format == "json" and ordinary
        self._names = tuple(name(key, key) for key in _DIFFERING)
        self._client_name = None if self._client is None else name("client", "client")
        self._forms: dict[tuple[str, str, int], Form] = {}
        pipeline.levels.changed.append(self._forget)
        self._clients: dict[str | None, str] = {}
        self._output = output

    @idle
    def begin(self, request: RequestContext) -> None:
        """A request that begins has nothing to tell."""

    def finish(self, request: RequestContext) -> None:
        output = self._output
        if output is None or request.excluded:
            return
        pipeline = output.pipeline
        if not self._by_form or pipeline.taps:
            self._by_pipeline(output, request)
            return
        status = request.status if request.exception is None else -request.status
        form = self._forms.get((request.method, request.endpoint, status))
        if form is None:
            form = self._form(pipeline, request, status)
        if not form:
            return
        context = pipeline.context(request)
        line = (
            form.copy()
            if context is None and request.span_id is None
            else self._with_bound(pipeline, request, form, context)
        )
        timestamp, request_id, trace_id, path, latency, size = self._names
        line[timestamp] = pipeline.timestamp()
        line[request_id] = request.request_id
        line[trace_id] = request.trace_id
        line[path] = pipeline.text(request.path)
        line[latency] = int(request.duration * 1_000_000) / 1000
        line[size] = request.response_bytes
        client = self._client_name
        if client is not None:
            try:
                line[client] = self._clients[request.client]
            except KeyError:
                self._put_client(line, client, request.client)
        if request.disconnected and request.status != CLIENT_CLOSED_REQUEST:
            line[pipeline.keys.get("disconnected", "disconnected")] = True
        try:
            rendered = orjson.dumps(line, option=_OPTION)
        except TypeError:
            rendered = orjson.dumps(repair(line), option=_OPTION)
        output.writer.write(rendered)
        if request.status >= 500 or request.exception is not None:
            output.writer.flush()

    def _by_pipeline(self, output: Output, request: RequestContext) -> None:
        number = _number(request.status, failed=request.exception is not None)
        pipeline = output.pipeline
        if number < pipeline.levels.threshold(conventions.ACCESS_LOGGER):
            return
        output.write(
            pipeline.line(
                _LEVELS[number],
                conventions.ACCESS_LOGGER,
                conventions.Event.REQUEST,
                self._fields(request),
                request=request,
                reserved=self._reserved,
            )
        )
        if number >= URGENT:
            output.writer.flush()

    def _form(self, pipeline: Pipeline, request: RequestContext, status: int) -> Form:
        """Return the line of such requests, in which what differs is still to be put; empty where it is not written."""
        number = _number(request.status, failed=request.exception is not None)
        form: Form = {}
        if number >= pipeline.levels.threshold(conventions.ACCESS_LOGGER):
            own = request.plan.service or pipeline.service
            whole = {
                "timestamp": None,
                "level": _LEVELS[number],
                "logger": conventions.ACCESS_LOGGER,
                "event": conventions.Event.REQUEST,
                "service": own.get("service", ""),
                "environment": own.get("environment", ""),
                "request_id": None,
                "trace_id": None,
                **pipeline.constants,
                "method": pipeline.text(request.method),
                "path": None,
                "endpoint": request.endpoint,
                "status": request.status,
                "latency_ms": None,
                "response_bytes": None,
            }
            if self._client is not None:
                whole["client"] = None
            form = {pipeline.keys.get(key, key): value for key, value in whole.items()}
        if request.method in conventions.KNOWN_METHODS or request.websocket:
            # Methods nobody knows are as many as somebody likes to send.
            _remember(self._forms, (request.method, request.endpoint, status), form)
        return form

    def _with_bound(
        self, pipeline: Pipeline, request: RequestContext, form: Form, context: Mapping[str, Any] | None
    ) -> Form:
        """Return a copy of the form with the span and what was bound in their places."""
        name = pipeline.keys.get
        after_ids, before_own = name("trace_id", "trace_id"), name("method", "method")
        line: Form = {}
        for key, value in form.items():
            if key == before_own and context is not None:
                line.update((name(k, k), v) for k, v in pipeline.bound(context, self._reserved).items())
            line[key] = value
            if key == after_ids and request.span_id is not None:
                line[name("span_id", "span_id")] = request.span_id
        return line

    def _fields(self, request: RequestContext) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "method": request.method,
            "path": request.path,
            "endpoint": request.endpoint,
            "status": request.status,
            "latency_ms": round(request.duration * 1000, 3),
            "response_bytes": request.response_bytes,
        }
        if (client := self._shown(request.client)) is not None:
            fields["client"] = client
        if request.disconnected and request.status != 499:
            fields["disconnected"] = True
        return fields

    def _forget(self) -> None:
        """Make all forms anew: another level decides now which of them are written."""
        self._forms.clear()

    def _put_client(self, line: Form, key: str, client: str | None) -> None:
        shown = self._shown(client)
        if shown is None:
            del line[key]
        else:
            line[key] = shown
            _remember(self._clients, client, shown)

    def _shown(self, client: str | None) -> str | None:
        if client is None or self._client is None:
            return None
        return client if self._client == "full" else masked(client)


def _number(status: int, *, failed: bool) -> int:
    return 40 if status >= 500 or failed else 30 if status >= 400 else 20


def _remember(kept: dict[Any, Any], key: Any, part: object) -> None:
    if len(kept) >= _REMEMBERED:
        kept.clear()
    kept[key] = part
