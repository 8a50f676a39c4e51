"""The access line: one for each request, when its last byte has been sent.

It is the line that a service writes most, so what it tells is only noted then; it is made with the others when they
are written (`forms.py`), or goes the way of every line, with the same result.
"""

from __future__ import annotations

from typing import Any, Literal

from belvedere import conventions
from belvedere.asgi import idle
from belvedere.context import RequestContext
from belvedere.logs.forms import LEVELS, Forms, severity
from belvedere.logs.output import URGENT, Output


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
        self._forms: Forms

    def use(self, output: Output | None) -> None:
        """Write to `output` from now on; `None`: nowhere."""
        if self._output is not None:
            self._output.pipeline.levels.changed.remove(self._forms.forget)
        self._output = output
        if output is not None:
            self._forms = Forms(output.pipeline, self._client)
            output.pipeline.levels.changed.append(self._forms.forget)

    @idle
    def begin(self, request: RequestContext) -> None:
        """A request that begins has nothing to tell."""

    def finish(self, request: RequestContext) -> None:
        output = self._output
        if output is None or request.excluded:
            return
        pipeline = output.pipeline
        forms = self._forms
        if not forms.usable or pipeline.taps:
            self._by_pipeline(output, request)
            return
        form = forms.of(request)
        if form:
            output.writer.write(
                (
                    forms,
                    form,
                    pipeline.clock(),
                    request.request_id,
                    request.trace_id,
                    request.path,
                    request.duration,
                    request.response_bytes,
                    request.client,
                    request.span_id,
                )
            )
            if request.status >= 500 or request.exception is not None:
                output.writer.flush()

    def _by_pipeline(self, output: Output, request: RequestContext) -> None:
        number = severity(request)
        pipeline = output.pipeline
        if number < pipeline.levels.threshold(conventions.ACCESS_LOGGER):
            return
        output.write(
            pipeline.line(
                LEVELS[number],
                conventions.ACCESS_LOGGER,
                conventions.Event.REQUEST,
                self._fields(request),
                request=request,
                reserved=self._forms.reserved,
            )
        )
        if number >= URGENT:
            output.writer.flush()

    def _fields(self, request: RequestContext) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "method": request.method,
            "path": self._forms.path(request.endpoint, request.path),
            "endpoint": request.endpoint,
            "status": request.status,
            "latency_ms": round(request.duration * 1000, 3),
            "response_bytes": request.response_bytes,
        }
        if (client := self._forms.shown(request.client)) is not None:
            fields["client"] = client
        if request.disconnected and request.status != conventions.CLIENT_CLOSED_REQUEST:
            fields["disconnected"] = True
        return fields
