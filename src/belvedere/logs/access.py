"""The access line: one for each request, when its last byte has been sent.

It is the line that a service writes most, so its JSON is put together from parts that were made before; only what a
client sent is looked at. Everything else goes the way of every line, with the same result.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any, Final, Literal

import orjson

from belvedere import conventions
from belvedere.asgi import idle
from belvedere.context import RequestContext
from belvedere.conventions import CLIENT_CLOSED_REQUEST
from belvedere.logs.output import URGENT, Output
from belvedere.logs.pipeline import Pipeline
from belvedere.logs.serialise import repair

_FIELDS: Final = ("method", "path", "endpoint", "status", "latency_ms", "response_bytes", "client", "disconnected")
_LEVELS: Final = {20: "info", 30: "warning", 40: "error"}
_REMEMBERED: Final = 2048
"""Paths, clients and kinds of requests, each, whose part of the line is kept: most come again soon."""
_PLACE: Final = "\0"
_PLACE_IN_JSON: Final = "\\u0000"
_SHORT: Final = 128
"""Characters of a path that is worth keeping."""


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
        self._output = None
        if output is None:
            return
        pipeline = output.pipeline
        name = pipeline.keys.get
        self._reserved = frozenset(_FIELDS) | {name(field, field) for field in _FIELDS}
        # A setting may redact or allow one of these fields, which is for the pipeline to do.
        ordinary = all(pipeline.redactor.verdict(field) == "look" for field in _FIELDS)
        self._by_hand = pipeline.format == "json" and ordinary
        self._keys = {key: f",{_escaped(name(key, key))}:" for key in (*_FIELDS, *pipeline.ids)}
        self._service: Mapping[str, str] | None = None
        self._forms: dict[tuple[str, str, int], str] = {}
        pipeline.levels.changed.append(self._forms.clear)
        self._paths: dict[str, str] = {}
        self._clients: dict[str | None, str] = {None: ""}
        self._second, self._until_second = -1, ""
        self._output = output

    @idle
    def begin(self, request: RequestContext) -> None:
        """A request that begins has nothing to tell."""

    def finish(self, request: RequestContext) -> None:
        output = self._output
        if output is None or request.excluded:
            return
        if not self._by_hand or output.pipeline.taps:
            self._by_pipeline(output, request)
            return
        if request.plan.service is not self._service:
            self._service = request.plan.service
            self._forms.clear()
        status = request.status if request.exception is None else -request.status
        form = self._forms.get((request.method, request.endpoint, status))
        if form is None:
            form = self._form(output.pipeline, request, status)
        if not form:
            return
        at = output.pipeline.clock()
        second = int(at)
        if second != self._second:
            self._until_second = output.pipeline.timestamp(second)[:-7]
            self._second = second
        context = output.pipeline.context(request)
        more = "" if context is None and request.span_id is None else self._more(output.pipeline, request, context)
        client = self._clients.get(request.client)
        if client is None:
            client = self._address(request.client)
        if request.disconnected and request.status != CLIENT_CLOSED_REQUEST:
            client += self._keys["disconnected"] + "true"
        line = form % (
            self._until_second,
            (at - second) * 1_000_000,
            request.request_id,
            request.trace_id,
            more,
            self._paths.get(request.path) or self._path(output.pipeline, request.path),
            request.duration * 1000,
            request.response_bytes,
            client,
        )
        output.writer.write(line.encode())
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

    def _form(self, pipeline: Pipeline, request: RequestContext, status: int) -> str:
        """Return the line of such requests with places for what differs, or "" where their level is not written.

        What the pipeline would make of `_fields`, in a quarter of its time.
        """
        number = _number(request.status, failed=request.exception is not None)
        form = ""
        if number >= pipeline.levels.threshold(conventions.ACCESS_LOGGER):
            own = request.plan.service or pipeline.service
            before = {
                "timestamp": _PLACE,
                "level": _LEVELS[number],
                "logger": conventions.ACCESS_LOGGER,
                "event": conventions.Event.REQUEST,
                "service": own.get("service", ""),
                "environment": own.get("environment", ""),
                "request_id": _PLACE,
                "trace_id": _PLACE,
            }
            keys = self._keys
            head = _literal("{" + _members(before, pipeline.keys)[1:]).replace(_PLACE_IN_JSON, "%s%06dZ", 1)
            form = (
                head.replace(_PLACE_IN_JSON, "%s")
                + _literal(_members(pipeline.constants, pipeline.keys))
                + "%s"
                + _literal(keys["method"] + _escaped(pipeline.text(request.method)))
                + "%s"
                + _literal(f"{keys['endpoint']}{_escaped(request.endpoint)}{keys['status']}{request.status}")
                + f"{_literal(keys['latency_ms'])}%.3f{_literal(keys['response_bytes'])}%d%s}}\n"
            )
        if request.method in conventions.KNOWN_METHODS or request.websocket:
            # Methods nobody knows are as many as somebody likes to send.
            _remember(self._forms, (request.method, request.endpoint, status), form)
        return form

    def _more(self, pipeline: Pipeline, request: RequestContext, context: Mapping[str, Any] | None) -> str:
        """Return the span and what was bound, as they stand inside the line."""
        span = "" if request.span_id is None else f'{self._keys["span_id"]}"{request.span_id}"'
        if context is None:
            return span
        return span + _members(pipeline.bound(context, self._reserved), pipeline.keys)

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

    def _path(self, pipeline: Pipeline, path: str) -> str:
        shown = self._keys["path"] + _escaped(pipeline.text(path))
        if len(path) <= _SHORT:
            _remember(self._paths, path, shown)
        return shown

    def _address(self, client: str | None) -> str:
        shown = self._shown(client)
        member = "" if shown is None else self._keys["client"] + _escaped(shown)
        _remember(self._clients, client, member)
        return member

    def _shown(self, client: str | None) -> str | None:
        if client is None or self._client is None:
            return None
        return client if self._client == "full" else masked(client)


def masked(client: str) -> str | None:
    """Return the network that a client is in: the last octet of IPv4 and the last 80 bits of IPv6 are zero.

    What is no address is nobody that could be masked, and is left out.
    """
    try:
        address = ip_address(client.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    hidden = 8 if address.version == 4 else 80
    return str(type(address)(int(address) >> hidden << hidden))


def _number(status: int, *, failed: bool) -> int:
    return 40 if status >= 500 or failed else 30 if status >= 400 else 20


def _literal(text: str) -> str:
    """Return `text` as a part of a form that `%` fills."""
    return text.replace("%", "%%")


def _remember(kept: dict[Any, str], key: Any, part: str) -> None:
    if len(kept) >= _REMEMBERED:
        kept.clear()
    kept[key] = part


def _escaped(text: str) -> str:
    try:
        return orjson.dumps(text).decode()
    except TypeError:
        return orjson.dumps(repair(text)).decode()


def _members(fields: Mapping[str, Any], keys: Mapping[str, str]) -> str:
    """Return fields as they stand inside a JSON object, after others."""
    if not fields:
        return ""
    try:
        return "," + orjson.dumps({keys.get(key, key): value for key, value in fields.items()}).decode()[1:-1]
    except TypeError:
        return "," + orjson.dumps(repair({keys.get(key, key): value for key, value in fields.items()})).decode()[1:-1]
