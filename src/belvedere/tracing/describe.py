"""What a server span says of a request: OpenTelemetry's stable HTTP conventions.

https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-server-span
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal
from urllib.parse import unquote_plus, urlsplit

from belvedere.asgi.client import Network, is_secure, masked
from belvedere.context import RequestContext
from belvedere.conventions import KNOWN_METHODS, OTHER_METHOD, REDACTED, UNMATCHED, SpanAttribute
from belvedere.redaction import Redactor
from belvedere.redaction.shapes import is_plain

Attributes = dict[str, Any]

_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_SIGNATURES: Final = frozenset(
    {"sig", "x-amz-signature", "x-amz-credential", "x-amz-security-token", "x-goog-signature"}
)
"""Keys of a query that the conventions want redacted, besides ours."""
_REMEMBERED: Final = 1024
"""Kinds of requests whose common attributes are kept: most come again soon."""
_LONGEST: Final = 1024
"""Characters of a user agent, path or query that are shown."""


class Describer:
    """Makes name and attributes of server spans.

    Args:
        redactor: knows what must not leave the process.
        client: how the client's address is shown, as in the log.
        trusted: networks of proxies whose word on the scheme is taken.
    """

    def __init__(
        self, redactor: Redactor, client: Literal["full", "masked"] | None, trusted: Sequence[Network] = ()
    ) -> None:
        self._redactor = redactor
        self._trusted = trusted
        self._client = client
        self._kinds: dict[tuple[Any, ...], Attributes] = {}
        self._names: dict[tuple[str, str], str] = {}

    def __call__(self, request: RequestContext) -> tuple[str, Attributes]:
        """Return the span's name and attributes, as far as the request is known by now."""
        scope = request.scope
        headers = request.headers
        trusted = self._trusted
        scheme = scope.get("scheme") or ("ws" if request.websocket else "http")
        if trusted and is_secure(scope, headers, trusted):
            scheme = "wss" if request.websocket else "https"
        kind = (request.method, scheme, headers.get(b"host"), scope.get("http_version"), headers.get(b"user-agent"))
        try:
            attributes = self._kinds[kind].copy()
        except KeyError:
            attributes = self._common(request, kind)
        path = request.path
        if len(path) > _LONGEST or not is_plain(path):
            path = self._redactor.text(path[:_LONGEST])
        attributes["url.path"] = path
        if query := scope.get("query_string"):
            attributes["url.query"] = self.query(query.decode("latin-1")[:_LONGEST])
        if request.client is not None and self._client is not None:
            attributes["client.address"] = request.client if self._client == "full" else masked(request.client)
        attributes[SpanAttribute.REQUEST_ID] = request.request_id
        if request.bound and "user_id" in request.bound:
            self._user(attributes, request.bound["user_id"])
        endpoint = request.endpoint
        if endpoint != UNMATCHED:
            attributes["http.route"] = endpoint
        if request.status:
            attributes["http.response.status_code"] = request.status
            if request.status >= 500:
                attributes["error.type"] = str(request.status)
        if request.exception is not None:
            attributes["error.type"] = type_of(request.exception)
        method = request.method
        try:
            return self._names[method, endpoint], attributes
        except KeyError:
            return self._name(request), attributes

    def query(self, query: str) -> str:
        """Return a query string with the values of secret keys, and what looks like a secret, redacted."""
        return "&".join([self._pair(pair) for pair in query.split("&")])

    def _pair(self, pair: str) -> str:
        key, equals, value = pair.partition("=")
        name, said = unquote_plus(key), unquote_plus(value)
        if name.lower() in _SIGNATURES:
            return f"{key}={REDACTED}"
        shown = self._redactor.value(name, said)
        return f"{key}{equals}{value}" if shown == said else f"{key}={REDACTED}"

    def _name(self, request: RequestContext) -> str:
        method = "WS" if request.websocket else request.method if request.method in KNOWN_METHODS else "HTTP"
        endpoint = request.endpoint
        name = method if endpoint == UNMATCHED else f"{method} {endpoint}"
        if method != "HTTP":
            # Methods nobody knows are as many as somebody likes to send.
            _remember(self._names, (request.method, endpoint), name)
        return name

    def _common(self, request: RequestContext, kind: tuple[Any, ...]) -> Attributes:
        """Return what all requests of a kind have."""
        method, scheme, host, version, agent = kind
        found: Attributes = {"url.scheme": scheme}
        if request.websocket:
            found["network.protocol.name"] = "websocket"
        else:
            known = method in KNOWN_METHODS
            found["http.request.method"] = method if known else OTHER_METHOD
            if not known:
                found["http.request.method_original"] = method
        if version:
            found["network.protocol.version"] = version
        found.update(_server(host, request.scope.get("server"), scheme))
        if agent is not None:
            found["user_agent.original"] = self._redactor.text(agent.decode("latin-1")[:_LONGEST])
        _remember(self._kinds, kind, found)
        return found.copy()

    def _user(self, attributes: Attributes, user: object) -> None:
        shown = self._redactor.value("user_id", user)
        if isinstance(shown, str | int):
            attributes[SpanAttribute.USER_ID] = str(shown)


def _server(host: bytes | None, server: Any, scheme: str) -> Attributes:
    """Return where the request was sent to: what the caller named, else where the server listens."""
    address, port = (server[0], server[1]) if server else (None, None)
    if host is not None:
        try:
            named = urlsplit(f"//{host.decode('latin-1')}")
            address, port = named.hostname, named.port or _PORTS.get(scheme)
        except ValueError:
            return {}
        if named.username is not None or named.path or named.query or named.fragment:
            return {}
    if address is None:
        return {}
    return {"server.address": address} if port is None else {"server.address": address, "server.port": port}


def type_of(error: BaseException) -> str:
    """Return the name of an exception's class as the conventions have it."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _remember(kept: dict[Any, Any], key: Any, part: object) -> None:
    if len(kept) >= _REMEMBERED:
        kept.clear()
    kept[key] = part
