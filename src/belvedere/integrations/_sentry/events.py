"""What an event says besides the exception, and what it must not say."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

from belvedere import context, failures
from belvedere.asgi.endings import only_one
from belvedere.context import RequestContext
from belvedere.integrations._sentry.options import FEATURE
from belvedere.integrations._sentry.redaction import bare, redacted, redacted_span
from belvedere.integrations._sentry.served import served
from belvedere.redaction import Redactor

Hook = Callable[..., Any]

_MARK: Final = "__belvedere_sentry__"
_LONGEST: Final = 200
"""Characters of a tag's key and value (https://docs.sentry.io/platforms/python/enriching-events/tags/)."""
_EXTRA: Final = 2000
"""Characters of a bound field that is no tag."""
_NOT_IN_A_KEY: Final = re.compile(r"[^A-Za-z0-9_.:-]")
_SIMPLE: Final = (str, int, float, UUID, Decimal, date, Enum)
_HEX: Final = re.compile("[0-9a-f]{32}")


class Events:
    """Stands before everything that the SDK sends.

    Args:
        redactor: of the application's settings.
        options: of the SDK's client.
    """

    def __init__(self, redactor: Redactor, options: Mapping[str, Any]) -> None:
        self._redactor = redactor
        self._options = options
        self.hooks: dict[str, Callable[[Hook | None], Hook]] = {
            "before_send": self._before_send,
            "before_send_transaction": self._before_send,
            "before_send_span": self._before_span,
            "before_send_log": self._before_record,
            "before_send_metric": self._before_record,
        }
        """Of each option, what returns what the client is to call in place of the application's hook, which sees our
        tags."""

    def _before_send(self, theirs: Hook | None) -> Hook:
        def before_send(event: dict[str, Any], hint: dict[str, Any]) -> dict[str, Any] | None:
            try:
                if not self._tell(event, hint):
                    return None
            except Exception as error:
                failures.contain(FEATURE, error)
            shown = event if theirs is None else theirs(event, hint)
            if shown is None:
                return None
            try:
                return redacted(shown, self._redactor)
            except Exception as error:
                failures.contain(FEATURE, error)
                return bare(shown)

        return before_send

    def _before_span(self, theirs: Hook | None) -> Hook:
        def before_send_span(span: Any, hint: Any = None) -> Any:
            shown = span
            try:
                request = _request(is_requests=bool(span.get("is_segment")))
                if request is not None and span.get("is_segment"):
                    attributes = span.setdefault("attributes", {})
                    attributes.update(self._tags(request)[0])
                    if attributes.get("sentry.segment.name.source") != "custom":
                        span["name"] = request.endpoint
                shown = span if theirs is None else theirs(span, hint)
                return redacted_span(shown, self._redactor)
            except Exception as error:
                failures.contain(FEATURE, error)
                return {**shown, "name": "", "attributes": {}} if isinstance(shown, dict) else shown

        return before_send_span

    def _before_record(self, theirs: Hook | None) -> Hook:
        def before_send_record(record: Any, hint: Any) -> Any:
            shown = record if theirs is None else theirs(record, hint)
            if shown is None:
                return None
            try:
                return redacted_span(shown, self._redactor)
            except Exception as error:
                failures.contain(FEATURE, error)
                return None

        return before_send_record

    def _tell(self, event: dict[str, Any], hint: Mapping[str, Any]) -> bool:
        """Add what is known of the moment; return whether the event is to be sent."""
        kind = event.get("type")
        request = _request(is_requests="request" in event)
        if kind == "transaction" and request is not None and request.excluded:
            return False
        if kind not in {None, "transaction"}:
            return True
        if request is not None:
            self._hide_in_url(event, request)
        tags, rest, user = self._tags(request)
        if kind is None and _sent_before(hint, tags.get("request_id") or _just_over()):
            return False
        ids = {key: tags.pop(key) for key in ("request_id", "trace_id") if key in tags}
        event["tags"] = {**tags, **(event.get("tags") or {}), **ids}
        if rest:
            event["extra"] = {**rest, **(event.get("extra") or {})}
        if user is not None:
            event["user"] = {"id": user, **(event.get("user") or {})}
        if request is not None and (event.get("transaction_info") or {}).get("source") != "custom":
            event["transaction"] = request.endpoint
            event["transaction_info"] = {"source": "route"}
        if "trace_id" in ids:
            self._join_trace(event, ids["trace_id"])
        return True

    def _hide_in_url(self, event: dict[str, Any], request: RequestContext) -> None:
        """Have the URL that the SDK has noted hide what the log's path hides."""
        path = self._redactor.paths.shown(request.endpoint, request.path)
        noted = event.get("request")
        if path != request.path and isinstance(noted, dict) and isinstance(noted.get("url"), str):
            noted["url"] = urlsplit(noted["url"])._replace(path=path).geturl()

    def _join_trace(self, event: dict[str, Any], trace_id: str) -> None:
        """Have the event say our trace, where Sentry makes none that it belongs to."""
        options = self._options
        if options.get("traces_sample_rate") is not None or options.get("traces_sampler") is not None:
            return
        trace = event.setdefault("contexts", {}).get("trace")
        if isinstance(trace, dict) and _HEX.fullmatch(trace_id):
            trace["trace_id"] = trace_id
            if isinstance(sampling := trace.get("dynamic_sampling_context"), dict):
                sampling["trace_id"] = trace_id

    def _tags(self, request: RequestContext | None) -> tuple[dict[str, str], dict[str, str], str | None]:
        """Return tags, what is bound and makes no tag, and the user."""
        fields = {**((request.bound if request is not None else None) or {}), **context.bound_fields()}
        tags: dict[str, str] = {}
        rest: dict[str, str] = {}
        for key, value in fields.items():
            if value is None:
                continue
            text = _text(value)
            if text is None:
                rest[key] = repr(self._redactor.value(key, value))[:_EXTRA]
            else:
                tags[_NOT_IN_A_KEY.sub("_", key)[:_LONGEST]] = text
        user = tags.get("user_id")
        request_id = context.request_id() if request is None else request.request_id
        trace_id = _current_trace() if request is None else request.trace_id
        tags |= {key: value for key, value in (("request_id", request_id), ("trace_id", trace_id)) if value}
        return tags, rest, user


def _request(*, is_requests: bool) -> RequestContext | None:
    """Return the request that is being served; for an event of Sentry's own layer, also the one that is just over."""
    request = context.current.get()
    return served.get() if request is None and is_requests else request


def _just_over() -> str | None:
    """Return the id of the request that this task has served: servers log its exception once more."""
    request = served.get()
    return None if request is None else request.request_id


def _current_trace() -> str | None:
    """Return the trace of the job that runs here, else of OpenTelemetry's current span."""
    job = context.job_trace()
    if job is not None and job.trace_id is not None:
        return job.trace_id
    if "opentelemetry" not in sys.modules:
        return None
    from opentelemetry.trace import get_current_span

    ids = get_current_span().get_span_context()
    return f"{ids.trace_id:032x}" if ids.is_valid else None


def _sent_before(hint: Mapping[str, Any], request_id: str | None) -> bool:
    """Whether this very exception was sent for this request already; remember that it is now.

    The SDK knows that only within a task, and not of groups of one, as task groups of middlewares make them.
    """
    information = hint.get("exc_info")
    if not information or request_id is None or not isinstance(information[1], BaseException):
        return False
    error = only_one(information[1])
    if getattr(error, _MARK, None) == request_id:
        return True
    try:
        setattr(error, _MARK, request_id)
    except Exception:  # an exception may refuse attributes in any way
        return False
    return False


def _text(value: Any) -> str | None:
    """Return a value as a tag has it; `None` where it is no tag's."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, _SIMPLE):
        return None
    text = str(value.value if isinstance(value, Enum) else value)
    return text if len(text) <= _LONGEST and "\n" not in text else None
