"""From an event to a line: what every line holds, in which order, redacted and serialised.

structlog, the standard library, the servers and the access line all come here, so that their lines look alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, Literal

import orjson
import structlog.contextvars

from belvedere.context import RequestContext, bound_fields, current, job_trace, request_id
from belvedere.logs.console import Console
from belvedere.logs.levels import Levels
from belvedere.logs.serialise import MAX_TEXT, as_text, cut, cut_middle, plain, repair
from belvedere.logs.tracebacks import LONGEST, REMEMBERED
from belvedere.redaction import Redactor
from belvedere.settings import LogSettings, Settings

Line = dict[str, Any]
Format = Literal["json", "console"]

_FIXED: Final = ("timestamp", "level", "logger", "event", "service", "environment")
_MARGIN: Final = 512
"""Characters beyond the cut that are read as well, so that a secret across it is still recognised."""

_contextvars: Mapping[str, Any] | None = getattr(structlog.contextvars, "_CONTEXT_VARS", None)


class Pipeline:
    """Makes lines after the settings of one service.

    Args:
        settings: with `service` and `environment` resolved.
        format: what `render` returns: one JSON object, or what people read.
        colors: whether the latter is coloured.
        clock: nanoseconds since the epoch.
    """

    ids: Final = ("request_id", "trace_id", "span_id")
    taps: ClassVar[list[Callable[[Line], None]]] = []
    """Of all pipelines: told of every line, as it is about to be written."""

    def __init__(
        self, settings: Settings, format: Format, *, colors: bool = False, clock: Callable[[], int] = time.time_ns
    ) -> None:
        logs = settings.logs or LogSettings()
        self.format = format
        self.clock = clock
        self.levels = Levels(logs.level, logs.quiet)
        self.redactor = Redactor(logs.redact, logs.allow)
        self.keys = dict(logs.keys)
        self.service: Mapping[str, str] = {"service": settings.service, "environment": settings.environment}
        self._outside = frozenset(_FIXED) | {self.keys.get(key, key) for key in _FIXED}
        self._in_job = self._outside | {"request_id", self.keys.get("request_id", "request_id")}
        self._inside = self._outside | set(self.ids) | {self.keys.get(key, key) for key in self.ids}
        self._console = Console(self.keys, colors=colors)
        self._second: tuple[int, str] = (1 << 62, "")
        self._exceptions: dict[str, str] = {}
        self.constants: Line = {}
        self._add(self.constants, logs.fields, self._inside)

    def timestamp(self, at: int | None = None) -> str:
        """Return a time in ISO 8601, UTC, with six digits of a second, now by default.

        Args:
            at: nanoseconds since the epoch; whole numbers, as they are formatted twice as fast as others.
        """
        microseconds = (self.clock() if at is None else at) // 1000
        second, text = self._second
        rest = microseconds - second
        if not 0 <= rest < 1_000_000:
            rest = microseconds % 1_000_000
            second = microseconds - rest
            text = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second // 1_000_000))
            self._second = (second, text)
        return "%s%06dZ" % (text, rest)  # noqa: UP031 - half the time of an f-string

    def line(
        self,
        level: str,
        logger: str,
        event: object,
        fields: Mapping[Any, Any],
        *,
        bound: Mapping[Any, Any] | None = None,
        exception: str | None = None,
        stack: str | None = None,
        at: int | None = None,
        request: RequestContext | None = None,
        reserved: frozenset[str] = frozenset(),
    ) -> Line:
        """Return a line as it leaves the process: in order, redacted, under its final names.

        Args:
            bound: what the logger itself carries.
            at: when it happened, in nanoseconds since the epoch.
            request: the one it is about; by default the one being served.
            reserved: names of `fields` that nothing bound may take.
        """
        request = request or current.get()
        service = (request is not None and request.service) or self.service
        line: Line = {
            "timestamp": self.timestamp(at),
            "level": level,
            "logger": logger,
            "event": self.text("" if event is None else as_text(event)),
            "service": service.get("service", ""),
            "environment": service.get("environment", ""),
        }
        taken = self._identify(line, request)
        if exception is not None:
            taken |= {"exception", self.keys.get("exception", "exception")}
        if self.constants:
            line.update(self.constants)
        if (context := self.context(request)) is not None:
            self._add(line, context, taken | reserved if reserved else taken)
        if bound:
            self._add(line, bound, taken)
        if fields:
            self._add(line, fields, taken)
        if stack is not None:
            line["stack_info"] = self.text(stack)
        if exception is not None:
            line["exception"] = self._exception(exception)
        if self.keys:
            keys = self.keys
            line = {keys.get(key, key): value for key, value in line.items()}
        for tap in self.taps:
            tap(line)
        return line

    def render(self, line: Line) -> bytes:
        """Return a line in the format of this pipeline, with its line end."""
        return self._console(line) if self.format == "console" else self.json(line)

    def json(self, line: Line) -> bytes:
        """Return a line as one JSON object, with its line end."""
        try:
            return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
        except TypeError:
            return orjson.dumps(repair(line), option=orjson.OPT_APPEND_NEWLINE)

    def context(self, request: RequestContext | None) -> Mapping[str, Any] | None:
        """Return what was bound outside loggers: by structlog's context variables, to the request, by `LogContext`."""
        found: Line | None = None
        if _contextvars is None:
            found = dict(structlog.contextvars.get_contextvars())
        elif _contextvars:
            found = {}
            for key, variable in list(_contextvars.items()):
                value = variable.get(...)
                if value is not ...:
                    found[key.removeprefix(structlog.contextvars.STRUCTLOG_KEY_PREFIX)] = value
        if request is not None and request.bound:
            found = {**(found or {}), **request.bound}
        if fields := bound_fields():
            found = {**(found or {}), **fields}
        return found

    def bound(self, context: Mapping[str, Any], reserved: frozenset[str]) -> Line:
        """Return what was bound, as it stands in a line of a request, before its final names."""
        shown: Line = {}
        self._add(shown, context, self._inside | reserved)
        return shown

    def clean(self, key: str, value: object) -> Any:
        """Return what of a field may be shown, fit for JSON."""
        verdict = self.redactor.verdict(key)
        if verdict == "redact":
            return self.redactor.value(key, value)
        kind = type(value)
        if kind is str:
            return self.text(value) if verdict == "look" else cut(value)  # type: ignore[arg-type]
        if value is None or kind is int or kind is bool or kind is float:
            return value
        return self.redactor.value(key, plain(value))

    def text(self, text: str) -> str:
        """Return a text redacted, and cut where it is too long."""
        if len(text) <= MAX_TEXT:
            return self.redactor.text(text)
        shown = self.redactor.text(text[: MAX_TEXT + _MARGIN])
        return f"{shown[:MAX_TEXT]}… [{len(text) - MAX_TEXT} more characters]"

    def _exception(self, text: str) -> str:
        """Return a traceback redacted and cut; a storm of errors brings the same one again and again."""
        shown = self._exceptions.get(text)
        if shown is None:
            shown = self.redactor.text(cut_middle(text))
            if len(self._exceptions) >= REMEMBERED:
                self._exceptions.clear()
            if len(text) <= LONGEST:
                self._exceptions[text] = shown
        return shown

    def _identify(self, line: Line, request: RequestContext | None) -> frozenset[str]:
        """Add the ids of the request or job, and return the names that no field may take."""
        if request is not None:
            line["request_id"] = request.request_id
            line["trace_id"] = request.trace_id
            if request.span_id is not None:
                line["span_id"] = request.span_id
            return self._inside
        job = request_id()
        if job is None:
            return self._outside
        line["request_id"] = job
        trace = job_trace()
        if trace is None or trace.trace_id is None:
            return self._in_job
        line["trace_id"] = trace.trace_id
        if trace.span_id is not None:
            line["span_id"] = trace.span_id
        return self._inside

    def _add(self, line: Line, fields: Mapping[Any, Any], taken: frozenset[str]) -> None:
        for key, value in fields.items():
            name = key if type(key) is str else as_text(key)
            shown = self.clean(name, value)
            if name in taken:
                name += "_"
                while name in fields:
                    name += "_"
            line[name] = shown
