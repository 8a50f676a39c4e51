"""Tracing of one application: whether it is on, who makes its spans, and where they go."""

from __future__ import annotations

import asyncio
import atexit
import os
from collections import Counter
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, Final, Literal

from belvedere.asgi import Plan
from belvedere.redaction import Redactor
from belvedere.release import own_version
from belvedere.settings import Settings, TracingSettings

if TYPE_CHECKING:
    from belvedere.tracing.observer import Spans
    from belvedere.tracing.queue import Queue

_SCHEMA: Final = "https://opentelemetry.io/schemas/1.26.0"
_NO_ENDPOINT: Final = "no endpoint (OTEL_EXPORTER_OTLP_ENDPOINT or tracing.endpoint)"


class Tracing:
    """Makes the server spans of one application, unless somebody else does.

    Args:
        settings: resolved.
        plan: whose requests are traced.
        native_provider: the provider that the application has given FastAPI for its own spans, which then stay.

    Raises:
        ImportError: it is asked for and not installed.
    """

    def __init__(self, settings: Settings, plan: Plan, native_provider: Any = None) -> None:
        self.settings = settings
        self.spans: Spans | None = None
        self.provider: Any = None
        self.makers = ""
        """Who else makes the spans, if anybody does."""
        self._plan = plan
        self._queue: Queue | None = None
        self._undo: list[Callable[[], None]] = []
        self.redactor = Redactor.after(settings)
        self.on, self.why = self._wanted()
        if self.on:
            self._install(settings.tracing or TracingSettings())
            if native_provider is not None:
                self.stand_aside("FastAPI, with the provider that it was given")

    @property
    def makes_spans(self) -> bool:
        """Whether the server spans are ours."""
        return self.spans is not None and not self.spans.aside

    @property
    def dropped(self) -> Counter[str]:
        """Spans of this process that were not exported, by reason."""
        return Counter() if self._queue is None else self._queue.dropped

    def untraced(self) -> Context:
        """Return a context like the present one, in which no spans are made: what checks ask is no request's."""
        context = copy_context()
        if self.on:
            from belvedere.tracing.sampling import leave_out

            context.run(leave_out)
        return context

    def stand_aside(self, makers: str) -> None:
        """Leave the server spans to somebody else."""
        if self.spans is not None and makers:
            self.spans.aside = True
            self.makers = makers

    def settle(self) -> None:
        """Look once more at what may have been set since `observe`: propagators, and the sampler."""
        if self.spans is not None:
            self.spans.look()

    def describe(self) -> tuple[Literal["on", "off"], str]:
        """Return the state for the report, and why it is so."""
        if not self.on:
            return "off", self.why
        if self.makers:
            return "on", f"server spans are made by {self.makers}; {self.why}"
        return "on", self.why

    async def flush(self) -> None:
        """Send what waits, within a few seconds; the loop goes on meanwhile."""
        if self._queue is not None:
            await asyncio.to_thread(self._queue.take_leave)

    def take_leave(self) -> None:
        """Do what `flush` does where no loop runs."""
        if self._queue is not None:
            self._queue.take_leave()

    def remove(self) -> None:
        """Stop, and leave OpenTelemetry as it was."""
        while self._undo:
            self._undo.pop()()
        self.spans = None

    def _wanted(self) -> tuple[bool, str]:
        tracing = self.settings.tracing
        if tracing is None:
            return False, "switched off by the settings"
        if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
            return False, "OTEL_SDK_DISABLED is true"
        if tracing.provider is not None:
            return True, f"through the {type(tracing.provider).__name__} of tracing.provider"
        if not tracing.endpoint:
            return False, _NO_ENDPOINT
        if os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none" and _is_of_variables(tracing.endpoint):
            return False, "OTEL_TRACES_EXPORTER is none"
        return True, f"to {self.redactor.text(tracing.endpoint)} over {tracing.protocol}"

    def _install(self, tracing: TracingSettings) -> None:
        from belvedere.tracing import exporters

        if tracing.provider is None:
            exporters.require(tracing.protocol)
        try:
            from belvedere.tracing.setup import set_up
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith("opentelemetry"):
                raise
            raise exporters.missing(error.name or "opentelemetry") from error
        made = set_up(self.settings, self._plan, self.redactor, _tracer)
        self.spans, self.provider, self._queue = made.spans, made.provider, made.queue
        self._undo = made.undo
        if made.why:
            self.why = made.why
        if made.share < 1:
            self.why += f", {made.share:g} of the traces that begin here"
        if self._queue is not None:
            atexit.register(self._queue.close)
            self._undo.append(lambda queue=self._queue: atexit.unregister(queue.close))  # type: ignore[misc]


def _tracer(provider: Any) -> Any:
    return provider.get_tracer("belvedere", own_version(), _SCHEMA)


def _is_of_variables(endpoint: str) -> bool:
    """Whether OpenTelemetry's own variables name it: those about exporters then hold as well."""
    return endpoint in {os.environ.get(f"OTEL_EXPORTER_OTLP_{signal}ENDPOINT") for signal in ("", "TRACES_")}
