"""Where this process's lines go: one output at a time, whoever logs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from belvedere import conventions, failures
from belvedere.logs.pipeline import Line, Pipeline
from belvedere.logs.tracebacks import formatted
from belvedere.logs.writer import Writer

URGENT: Final = 40
"""From `error` on, a line is written at once: it may be the last one."""


class Output:
    """A pipeline and a writer: takes events, never raises."""

    def __init__(self, pipeline: Pipeline, writer: Writer) -> None:
        self.pipeline = pipeline
        self.writer = writer
        writer.notice = self._notice

    def emit(
        self,
        number: int,
        level: str,
        logger: str,
        event: object,
        fields: Mapping[Any, Any],
        *,
        bound: Mapping[Any, Any] | None = None,
        error: BaseException | None = None,
        exception: str | None = None,
        stack: str | None = None,
        at: int | None = None,
        now: bool = False,
    ) -> None:
        """Write one line; `number` is the standard library's of `level`, `now` has it written at once in any case."""
        try:
            if error is not None:
                exception = formatted(error)
            line = self.pipeline.line(
                level, logger, event, fields, bound=bound, exception=exception, stack=stack, at=at
            )
            self.write(line)
            if now or number >= URGENT:
                self.writer.flush()
        except Exception as failure:  # a line that cannot be made must not break who asked for it
            failures.contain("logs", failure)

    def write(self, line: Line) -> None:
        """Write a line that the pipeline made."""
        rendered = self.pipeline.render(line)
        copy = rendered if self.pipeline.format == "json" or not self.writer.copies else self.pipeline.json(line)
        self.writer.write(rendered, copy)

    def _notice(self, dropped: int) -> bytes:
        """Return the line that tells how many others are missing."""
        event = conventions.Event.LINES_DROPPED
        return self.pipeline.render(self.pipeline.line("warning", conventions.OWN_LOGGER, event, {"dropped": dropped}))


active: Output | None = None
"""The output of this process while at least one application is observed."""
