"""What a server span says of a request: OpenTelemetry's stable HTTP conventions.

https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-server-span
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal
from urllib.parse import unquote_plus, urlsplit

from belvedere.asgi.client import Network, is_secure, masked
from belvedere.context import RequestContext
from belvedere.conventions import KNOWN_METHODS, OTHER_METHOD, REDACTED, UNMATCHED, SpanAttribute
from belvedere.redaction import Redactor
from belvedere.redaction.shapes import is_plain

Attributes = dict[str, Any]
Noted = tuple[Attributes, str, bytes | None, str | None, str, str | None, str, int, str | None]
"""What all requests of a kind have; path, query, client, request id, user, template, status and the error's type."""

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

    def __call__(self, request: RequestContext) -> tuple[str, Attributes]:
        """Return the span's name and attributes, as far as the request is known by now."""
        return self.spelled_out(self.note(request))

    def note(self, request: RequestContext) -> Noted:
        """Return what name and attributes are made of, and nothing that holds the request.

        They are made when somebody reads them: many in a row as a rule, in the thread that sends them.
        """
        scope = request.scope
        headers = request.headers
        trusted = self._trusted
        scheme = scope.get("scheme") or ("ws" if request.websocket else "http")
        if trusted and is_secure(scope, headers, trusted):
            scheme = "wss" if request.websocket else "https"
        kind = (request.method, scheme, headers.get(b"host"), scope.get("http_version"), headers.get(b"user-agent"))
        try:
            common = self._kinds[kind]
        except KeyError:
            common = self._common(request, kind)
        path = request.path
        query = scope.get("query_string")
        return (
            common,
            path if len(path) <= _LONGEST else path[:_LONGEST],
            query and query[:_LONGEST],
            request.client,
            request.request_id,
            None if request.bound is None else self._user(request.bound),
            request.endpoint,
            request.status,
            None if request.exception is None else type_of(request.exception),
        )

    def spelled_out(self, noted: Noted) -> tuple[str, Attributes]:
        """Return the name and the attributes that a note stands for; by any thread."""
        common, path, query, client, request_id, user, endpoint, status, error = noted
        attributes = common.copy()
        path = self._redactor.paths.shown(endpoint, path)
        attributes["url.path"] = path if is_plain(path) else self._redactor.text(path)
        if query:
            attributes["url.query"] = self.query(query.decode("latin-1"))
        if client is not None and self._client is not None:
            attributes["client.address"] = client if self._client == "full" else masked(client)
        attributes[SpanAttribute.REQUEST_ID] = request_id
        if user is not None:
            attributes[SpanAttribute.USER_ID] = user
        if endpoint != UNMATCHED:
            attributes["http.route"] = endpoint
        if status:
            attributes["http.response.status_code"] = status
            if status >= 500:
                attributes["error.type"] = str(status)
        if error is not None:
            attributes["error.type"] = error
        return _name(common.get("http.request.method", "WS"), endpoint), attributes

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
        if len(self._kinds) >= _REMEMBERED:
            self._kinds.clear()
        self._kinds[kind] = found
        return found

    def _user(self, bound: Mapping[str, Any]) -> str | None:
        shown = self._redactor.value("user_id", bound["user_id"]) if "user_id" in bound else None
        return str(shown) if isinstance(shown, str | int) else None


def _name(method: str, endpoint: str) -> str:
    """Return what the span of a route is called; methods that nobody knows are all one."""
    if method == OTHER_METHOD:
        method = "HTTP"
    return method if endpoint == UNMATCHED else f"{method} {endpoint}"


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
