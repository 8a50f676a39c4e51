"""Gives ids to requests of httpx, measures and traces them."""

from __future__ import annotations

import functools
import inspect
import time
from typing import Any, NamedTuple

from belvedere import context, failures
from belvedere.conventions import DURATION_BUCKETS, HTTP_CLIENT_DURATION, KNOWN_METHODS, OTHER, OTHER_METHOD, OVERFLOW
from belvedere.integrations.spans import ClientSpans, trace_context
from belvedere.parts import Host
from belvedere.redaction import Redactor

FEATURE = "httpx"
HOSTS = 100
"""Hosts that are told apart where none are named."""
FAILED = "error"
"""The `status` of a request that had no answer."""
_INSTRUMENTATION = ("opentelemetry.instrumentation.httpx", "HTTPXClientInstrumentor")
GIVEN = "belvedere.given"
"""Where a request of httpx keeps which headers are ours, among its extensions; each part its own."""
WATCHED = "belvedere.watched"
"""Where it keeps which applications are counting it, while it is under way: several parts may be on its way."""
TRACED = "belvedere.traced"
"""The same of its one span."""


class Sending(NamedTuple):
    """One request on its way."""

    began: float
    span: Any
    counts: bool
    """Whether it is this part that counts it for its application."""


class Requests:
    """Wraps what sends one request.

    Args:
        host: has metric, settings and provider.
        hosts: where ids go, and that the metric tells apart; `None`: every host.
    """

    def __init__(self, host: Host, hosts: tuple[str, ...] | None) -> None:
        metric = HTTP_CLIENT_DURATION
        self._duration = host.metric("histogram", metric.name, metric.help, metric.labels, buckets=DURATION_BUCKETS)
        self._counting = f"{WATCHED}.{id(host):x}"
        self._given = f"{GIVEN}.{id(self):x}"
        self._header = host.settings.requests.header
        self._hosts = hosts
        self._seen: set[str] = set()
        self._spans = ClientSpans(host, _INSTRUMENTATION, {})
        self._hide = Redactor.after(host.settings).text
        self._clock = time.perf_counter
        self.active = True
        """Whether anything is done: somebody else's wrapping may keep ours in place after we have left."""

    def wrap(self, send: Any) -> Any:
        """Return what is called instead: of a client (`request`), or of its class (`client, request`)."""

        @functools.wraps(send)
        async def send_async(*args: Any) -> Any:
            if not self.active:
                return await send(*args)
            sending = self._begin(args[-1])
            answer = error = None
            try:
                answer = await send(*args)
            except BaseException as caught:
                error = caught
                raise
            finally:
                self._end(args[-1], sending, answer, error)
            return answer

        @functools.wraps(send)
        def send_here(*args: Any) -> Any:
            if not self.active:
                return send(*args)
            sending = self._begin(args[-1])
            answer = error = None
            try:
                answer = send(*args)
            except BaseException as caught:
                error = caught
                raise
            finally:
                self._end(args[-1], sending, answer, error)
            return answer

        return send_async if inspect.iscoroutinefunction(send) else send_here

    def _begin(self, request: Any) -> Sending:
        span, counts = None, False
        try:
            # Another part of this application may have begun with this very request, or another application's.
            counts = self._counting not in request.extensions
            request.extensions[self._counting] = True
            if self._spans.tracer is not None and TRACED not in request.extensions:
                span = request.extensions[TRACED] = self._begun(request)
            self._give(request, span)
        except Exception as error:
            failures.contain(FEATURE, error)
        return Sending(self._clock(), span, counts)

    def _begun(self, request: Any) -> Any:
        url = request.url
        method = request.method if request.method in KNOWN_METHODS else OTHER_METHOD
        attributes = {
            "http.request.method": method,
            # Without what may be a secret: user, password, query.
            "url.full": self._hide(f"{url.scheme}://{url.netloc.decode('ascii')}{url.path}"),
            "server.address": url.host,
            "server.port": url.port or _port(url.scheme),
        }
        return self._spans.begin(method if method != OTHER_METHOD else "HTTP", attributes)

    def _end(self, request: Any, sending: Sending, answer: Any, error: BaseException | None) -> None:
        try:
            status = FAILED if answer is None else str(answer.status_code)
            if sending.counts:
                request.extensions.pop(self._counting, None)
                method = request.method if request.method in KNOWN_METHODS else OTHER_METHOD
                label = self._label(request.url)
                self._duration.labels(label, method, status).observe(self._clock() - sending.began)
            if (span := sending.span) is not None:
                request.extensions.pop(TRACED, None)
                if answer is not None:
                    span.set_attribute("http.response.status_code", answer.status_code)
                self._spans.end(span, status if answer is not None and answer.status_code >= 400 else error)
        except Exception as own:
            failures.contain(FEATURE, own)

    def _give(self, request: Any, span: Any) -> None:
        """Add the request id and the trace context of the request that is being served, unless they are there."""
        headers = request.headers
        # A redirected request has the headers and the extensions of the one before, which may have gone elsewhere.
        for name in request.extensions.pop(self._given, ()):
            headers.pop(name, None)
        if self._hosts is not None and not _listed(request.url, self._hosts):
            return
        request_id = context.request_id()
        ids = {} if request_id is None else {self._header: request_id}
        if "traceparent" not in headers:
            ids |= trace_context(span)  # else what belongs to it is the application's to send
        given = {name: value for name, value in ids.items() if name not in headers}
        headers.update(given)
        request.extensions[self._given] = tuple(given)

    def _label(self, url: Any) -> str:
        host: str = url.host
        if self._hosts is not None:
            # Those below a domain are as many as there are: they are shown by what names them.
            return next((name for name in self._hosts if _listed(url, (name,))), OTHER)
        if host not in self._seen:
            if len(self._seen) >= HOSTS:
                return OVERFLOW
            self._seen.add(host)
        return host


def _listed(url: Any, hosts: tuple[str, ...]) -> bool:
    host = url.host
    if host in hosts or f"{host}:{url.port or _port(url.scheme)}" in hosts:
        return True
    return any(pattern.startswith("*.") and host.endswith(pattern[1:]) for pattern in hosts)


def _port(scheme: str) -> int:
    return 443 if scheme == "https" else 80
