"""How access lines are made: most of one once for each method, template and status, the rest when it is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import orjson

from belvedere import conventions
from belvedere.asgi.client import masked
from belvedere.context import RequestContext
from belvedere.logs.pipeline import Pipeline
from belvedere.logs.serialise import MAX_TEXT, repair
from belvedere.logs.writer import Unmade
from belvedere.redaction.shapes import is_plain

FIELDS: Final = ("method", "path", "endpoint", "status", "latency_ms", "response_bytes", "client", "disconnected")
LEVELS: Final = {20: "info", 30: "warning", 40: "error"}
_DIFFERING: Final = ("timestamp", "request_id", "trace_id", "path", "latency_ms", "response_bytes", "span_id")
"""What is not the same in all lines of a method, template and status."""
_OPTION: Final = orjson.OPT_APPEND_NEWLINE
_REMEMBERED: Final = 2048
"""Clients and kinds of requests, each, whose part of the line is kept: most come again soon."""

Form = dict[str, Any]


class Forms:
    """The access lines of one pipeline: what those of a kind share, and how one of them is made from it.

    Args:
        client: how the client's address is shown, as `AccessLine` has it.
    """

    def __init__(self, pipeline: Pipeline, client: Literal["full", "masked"] | None) -> None:
        self._pipeline = pipeline
        self._client = client
        name = pipeline.keys.get
        self.reserved = frozenset(FIELDS) | {name(field, field) for field in FIELDS}
        # A setting may redact or allow one of these fields, which is for the pipeline to do.
        ordinary = all(pipeline.redactor.verdict(field) == "look" for field in FIELDS)
        self.usable = pipeline.format == "json" and ordinary
        """Whether lines made here are those that the pipeline would make."""
        self._names = tuple(name(key, key) for key in _DIFFERING)
        self._client_name = None if client is None else name("client", "client")
        self._forms: dict[tuple[str, str, int], Form] = {}
        self._spanned: dict[tuple[str, str, int], Form] = {}
        self._clients: dict[str | None, str] = {}
        self._endpoint_name = name("endpoint", "endpoint")
        self._hiding: set[str] = set()
        self.path = pipeline.redactor.paths.shown
        """Returns what may be shown of a path, by its template."""

    def of(self, request: RequestContext) -> Form:
        """Return what its line shares with others, and what was bound until now; empty where it is not written."""
        status = request.status if request.exception is None else -request.status
        try:
            form = self._forms[request.method, request.endpoint, status]
        except KeyError:
            form = self._form(request, status)
        context = self._pipeline.context(request)
        if context is None and not request.disconnected:
            # Nearly always.
            return form if request.span_id is None else form and self._with_span(request, form, status)
        return form and self._with_bound(request, form, context)

    def make(self, line: Unmade) -> bytes:
        """Return a line with its line end.

        Args:
            line: after this object itself, the form, the time in nanoseconds since the epoch, request and trace id,
                path, seconds, bytes of the answer, the client's address, and the span's id if there is one.
        """
        _, form, at, request_id, trace_id, path, duration, size, client, span_id = line
        pipeline = self._pipeline
        made = form.copy()
        names = self._names
        if self._hiding and (endpoint := made[self._endpoint_name]) in self._hiding:
            path = self.path(endpoint, path)
        made[names[0]] = pipeline.timestamp(at)
        made[names[1]] = request_id
        made[names[2]] = trace_id
        # Nearly always: what the pipeline would find out as well, by three calls more.
        made[names[3]] = path if len(path) <= MAX_TEXT and is_plain(path) else pipeline.text(path)
        made[names[4]] = int(duration * 1_000_000) / 1000
        made[names[5]] = size
        if span_id is not None:
            made[names[6]] = span_id
        if self._client_name is not None:
            try:
                made[self._client_name] = self._clients[client]
            except KeyError:
                self._put_client(made, self._client_name, client)
        try:
            return orjson.dumps(made, option=_OPTION)
        except TypeError:
            return orjson.dumps(repair(made), option=_OPTION)

    def forget(self) -> None:
        """Make all forms anew: another level decides now which of them are written."""
        self._forms.clear()
        self._spanned.clear()

    def shown(self, client: str | None) -> str | None:
        """Return a client's address as lines show it."""
        if client is None or self._client is None:
            return None
        return client if self._client == "full" else masked(client)

    def _form(self, request: RequestContext, status: int) -> Form:
        """Return the line of such requests, in which what differs is still to be put; empty where it is not written."""
        pipeline = self._pipeline
        number = severity(request)
        form: Form = {}
        if number >= pipeline.levels.threshold(conventions.ACCESS_LOGGER):
            own = request.plan.service or pipeline.service
            whole = {
                "timestamp": None,
                "level": LEVELS[number],
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
            if pipeline.redactor.paths.hide_in(request.endpoint):
                self._hiding.add(request.endpoint)
        if request.method in conventions.KNOWN_METHODS or request.websocket:
            # Methods nobody knows are as many as somebody likes to send.
            _remember(self._forms, (request.method, request.endpoint, status), form)
        return form

    def _with_span(self, request: RequestContext, form: Form, status: int) -> Form:
        """Return the form with a place for the span's id."""
        key = (request.method, request.endpoint, status)
        try:
            return self._spanned[key]
        except KeyError:
            spanned = self._with_bound(request, form, None)
            if key in self._forms:
                _remember(self._spanned, key, spanned)
            return spanned

    def _with_bound(self, request: RequestContext, form: Form, context: Mapping[str, Any] | None) -> Form:
        """Return a copy of the form with the span and what was bound in their places."""
        pipeline = self._pipeline
        name = pipeline.keys.get
        after_ids, before_own = name("trace_id", "trace_id"), name("method", "method")
        line: Form = {}
        for key, value in form.items():
            if key == before_own and context is not None:
                line.update((name(k, k), v) for k, v in pipeline.bound(context, self.reserved).items())
            line[key] = value
            if key == after_ids and request.span_id is not None:
                line[name("span_id", "span_id")] = request.span_id
        if request.disconnected and request.status != conventions.CLIENT_CLOSED_REQUEST:
            line[name("disconnected", "disconnected")] = True
        return line

    def _put_client(self, line: Form, key: str, client: str | None) -> None:
        shown = self.shown(client)
        if shown is None:
            del line[key]
        else:
            line[key] = shown
            _remember(self._clients, client, shown)


def severity(request: RequestContext) -> int:
    """Return the level of a request's line, as the standard library numbers them."""
    failed = request.status >= 500 or request.exception is not None
    return 40 if failed else 30 if request.status >= 400 else 20


def _remember(kept: dict[Any, Any], key: Any, part: object) -> None:
    if len(kept) >= _REMEMBERED:
        kept.clear()
    kept[key] = part
