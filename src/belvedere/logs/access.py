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
from belvedere.logs.output import URGENT, Output
from belvedere.logs.pipeline import Pipeline
from belvedere.logs.serialise import repair

_FIELDS: Final = ("method", "path", "endpoint", "status", "latency_ms", "response_bytes", "client", "disconnected")
_LEVELS: Final = {20: "info", 30: "warning", 40: "error"}
_REMEMBERED: Final = 2048
"""Paths, templates and clients, each, whose part of the line is kept: most come again soon."""
_SHORT: Final = 128
"""Characters of a path that is worth keeping."""


class AccessLine:
    """An observer that writes the access line of each request that is not excluded.

    Its level is `info`, `warning` from status 400 on, `error` from 500 on or when an exception got out.

    Args:
        client: how the client's address is shown: `full`, `masked` (the last octet of IPv4, the last 80 bits of IPv6
        are
            zero), or `None`: not at all.
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
        self._keys = {
            key: f",{_escaped(name(key, key))}:" for key in (*_FIELDS, *pipeline.ids, "level", "logger", "event")
        }
        self._opening = f'{{{_escaped(name("timestamp", "timestamp"))}:"'
        self._service: Mapping[str, str] | None = None
        self._heads: dict[int, str] = {}
        self._trace = f'"{self._keys["trace_id"]}"'
        self._constants = _members(pipeline.constants, pipeline.keys)
        self._methods = {
            method: f'{self._keys["method"]}"{method}"' for method in (*conventions.KNOWN_METHODS, "WEBSOCKET")
        }
        self._endpoints: dict[str, str] = {}
        self._paths: dict[str, str] = {}
        self._clients: dict[str | None, str] = {None: ""}
        self._output = output

    @idle
    def begin(self, request: RequestContext) -> None:
        """A request that begins has nothing to tell."""

    def finish(self, request: RequestContext) -> None:
        output = self._output
        if output is None or request.excluded:
            return
        number = 40 if request.status >= 500 or request.exception is not None else 30 if request.status >= 400 else 20
        pipeline = output.pipeline
        if number < pipeline.levels.threshold(conventions.ACCESS_LOGGER):
            return
        if self._by_hand and not pipeline.taps:
            output.writer.write(self._line(pipeline, request, number))
        else:
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

    def _line(self, pipeline: Pipeline, request: RequestContext, number: int) -> bytes:
        """Return what the pipeline would make of `_fields`, in a quarter of its time."""
        service = request.plan.service
        if service is not self._service:
            self._introduce(pipeline, service)
        keys = self._keys
        method = self._methods.get(request.method) or keys["method"] + _escaped(pipeline.text(request.method))
        path = self._paths.get(request.path) or self._path(pipeline, request.path)
        endpoint = self._endpoints.get(request.endpoint) or self._endpoint(request.endpoint)
        context = pipeline.context(request)
        bound = "" if context is None else _members(pipeline.bound(context, self._reserved), pipeline.keys)
        client = self._clients.get(request.client)
        if client is None:
            client = self._address(request.client)
        span = "" if request.span_id is None else f'"{keys["span_id"]}"{request.span_id}'
        gone = keys["disconnected"] + "true" if request.disconnected and request.status != 499 else ""
        return (
            f"{self._opening}{pipeline.timestamp()}{self._heads[number]}{request.request_id}{self._trace}{request.trace_id}"
            f'{span}"{self._constants}{bound}{method}{path}{endpoint}{keys["status"]}{request.status}'
            f"{keys['latency_ms']}{request.duration * 1000:.3f}"
            f"{keys['response_bytes']}{request.response_bytes}{client}{gone}}}\n"
        ).encode()

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

    def _introduce(self, pipeline: Pipeline, service: Mapping[str, str]) -> None:
        """Make what comes between the time and the request's id, for each level."""
        own = service or pipeline.service
        keys = self._keys
        members = _members(
            {"service": own.get("service", ""), "environment": own.get("environment", "")}, pipeline.keys
        )
        what = f'{keys["logger"]}"{conventions.ACCESS_LOGGER}"{keys["event"]}"{conventions.Event.REQUEST}"{members}'
        self._heads = {
            number: f'"{keys["level"]}"{level}"{what}{keys["request_id"]}"' for number, level in _LEVELS.items()
        }
        self._service = service

    def _path(self, pipeline: Pipeline, path: str) -> str:
        shown = self._keys["path"] + _escaped(pipeline.text(path))
        if len(path) <= _SHORT:
            _remember(self._paths, path, shown)
        return shown

    def _endpoint(self, endpoint: str) -> str:
        shown = self._keys["endpoint"] + _escaped(endpoint)
        _remember(self._endpoints, endpoint, shown)
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


def _remember(kept: dict[Any, str], key: str | None, part: str) -> None:
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
