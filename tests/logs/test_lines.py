"""What a line holds, and in which order, whoever logs it."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from belvedere import failures
from belvedere.context import LogContext, RequestContext, bind, set_request_id
from belvedere.logs import get_logger
from belvedere.logs.pipeline import Pipeline
from belvedere.settings import Settings
from tests.logs.conftest import Start
from tests.logs.lines import REQUEST_ID, TRACE_ID, Line, line, request

Lines = Callable[[], list[Line]]
Within = Callable[[RequestContext], None]


def test_a_line_has_its_keys_in_order(start: Start, within: Within, capsys: pytest.CaptureFixture[str]) -> None:
    """Time, level, logger, event, service, environment, ids, constants, what was bound, own fields, the exception."""
    start(fields={"region": "eu"})
    made = request(span_id="00f067aa0ba902b7")
    within(made)
    bind(user_id=7)
    with LogContext(operation="upload"):
        try:
            raise ValueError("no")
        except ValueError:
            get_logger("app").bind(part=1).exception("upload_failed", size=10)
    (text,) = capsys.readouterr().out.splitlines()
    written = json.loads(text)
    assert list(written) == [
        *("timestamp", "level", "logger", "event", "service", "environment", "request_id", "trace_id", "span_id"),
        *("region", "user_id", "operation", "part", "size", "exception"),
    ]
    assert written["exception"].startswith("Traceback (most recent call last):\n")
    assert written["exception"].endswith("\nValueError: no")
    moment = datetime.fromisoformat(written["timestamp"])
    assert abs((datetime.now(UTC) - moment).total_seconds()) < 60


def test_outside_a_request_there_are_no_ids(start: Start, lines: Lines) -> None:
    """The keys of a request are absent, not null."""
    start()
    get_logger("app").info("order_placed", order_id=7)
    assert lines() == [line("info", "app", "order_placed", order_id=7)]


def test_inside_a_request_its_ids_and_its_own_service_are_shown(start: Start, within: Within, lines: Lines) -> None:
    """Of several applications in one process, the one that serves the request is named."""
    start()
    within(request(service={"service": "billing", "environment": "prod"}))
    get_logger("app").info("paid")
    logging.getLogger("lib").warning("slow")
    ids = {"request_id": REQUEST_ID, "trace_id": TRACE_ID}
    theirs = {"service": "billing", "environment": "prod"}
    assert lines() == [line("info", "app", "paid", **theirs, **ids), line("warning", "lib", "slow", **theirs, **ids)]


def test_a_request_of_no_service_shows_that_of_the_process(start: Start, within: Within, lines: Lines) -> None:
    """An application that was not given a name has that of the first one."""
    start()
    within(request(service={}))
    get_logger("app").info("paid")
    assert lines() == [line("info", "app", "paid", request_id=REQUEST_ID, trace_id=TRACE_ID)]


def test_a_job_has_the_id_it_was_given(start: Start, lines: Lines) -> None:
    """`set_request_id` gives lines outside a request an id, and no trace."""
    start()
    set_request_id("job-17")
    try:
        get_logger("app").info("done", request_id="other", trace_id="free")
    finally:
        set_request_id(None)
    get_logger("app").info("done", request_id="free")
    assert lines() == [
        line("info", "app", "done", request_id="job-17", request_id_="other", trace_id="free"),
        line("info", "app", "done", request_id="free"),
    ]


def test_fields_never_take_the_place_of_belvederes_own(start: Start, within: Within, lines: Lines) -> None:
    """A colliding field is kept under its name with a `_`, or as many as it needs."""
    start()
    within(request())
    own = ("timestamp", "level", "logger", "event", "service", "environment")
    fields: dict[str, Any] = dict.fromkeys(own, "mine")
    get_logger("app").info("e", **fields, request_id="mine", trace_id="mine", span_id="mine", level_="theirs")
    logging.getLogger("lib").info("e", extra={**fields, "request_id": "mine"})
    ids = {"request_id": REQUEST_ID, "trace_id": TRACE_ID}
    kept = {f"{key}_": "mine" for key in fields}
    assert lines() == [
        {
            **line("info", "app", "e", **ids, request_id_="mine", trace_id_="mine", span_id_="mine"),
            **kept,
            "level__": "mine",
            "level_": "theirs",
        },
        line("info", "lib", "e", **ids, **kept, request_id_="mine"),
    ]


def test_the_exception_of_a_call_does_not_replace_a_field_of_that_name(start: Start, lines: Lines) -> None:
    """A field called `exception` stays one as long as there is no exception, and gets a `_` when there is."""
    start()
    log = get_logger("app")
    log.info("e", exception="text")
    log.info("e", exception="text", exc_info=KeyError("k"))
    assert lines() == [
        line("info", "app", "e", exception="text"),
        line("info", "app", "e", exception_="text", exception="KeyError: 'k'"),
    ]


def test_what_is_nearer_to_the_call_wins(start: Start, within: Within, lines: Lines) -> None:
    """Constants, structlog's variables, the request, `LogContext`, the logger, the call: each over those before."""
    start(fields={"a": 0, "b": 0, "c": 0, "d": 0, "e": 0, "f": 0})
    structlog.contextvars.bind_contextvars(b=1, c=1, d=1, e=1, f=1)
    within(request())
    bind(c=2, d=2, e=2, f=2)
    with LogContext(d=3, e=3, f=3):
        get_logger("app").bind(e=4, f=4).info("x", f=5)
    structlog.contextvars.unbind_contextvars("b", "c", "d", "e", "f")
    ids = {"request_id": REQUEST_ID, "trace_id": TRACE_ID}
    assert lines() == [line("info", "app", "x", **ids, a=0, b=1, c=2, d=3, e=4, f=5)]


def test_keys_are_renamed_at_the_end(start: Start, within: Within, capsys: pytest.CaptureFixture[str]) -> None:
    """Any key can have another name, in its place; a field that already has that name gets a `_`."""
    start(keys={"event": "message", "service": "app", "timestamp": "ts", "user_id": "uid", "exception": "error.stack"})
    within(request())
    bind(user_id=7)
    get_logger("app").error("failed", message="mine", app="mine", exc_info=KeyError("k"))
    written = json.loads(capsys.readouterr().out)
    assert list(written.items())[1:] == list(
        {
            "level": "error",
            "logger": "app",
            "message": "failed",
            "app": "shop",
            "environment": "test",
            "request_id": REQUEST_ID,
            "trace_id": TRACE_ID,
            "uid": 7,
            "message_": "mine",
            "app_": "mine",
            "error.stack": "KeyError: 'k'",
        }.items()
    )
    assert next(iter(written)) == "ts"


def test_fields_are_redacted_by_key_and_by_shape(start: Start, within: Within, lines: Lines) -> None:
    """In fields, bound fields, events, nested values, `extra` and exceptions; never in Belvedere's own keys."""
    start(redact=["tax_id"], allow=["email"])
    within(request())
    bind(session_id="s", email="ada@example.com")
    log = get_logger("app")
    log.info("mail to ada@example.com", password="p", tax_id=1, data={"token": "t", "note": ["Bearer abc123"]})
    logging.getLogger("lib").info(
        "using %s", "https://a:b@c.example", extra={"api_key": "k", "email": "ada@example.com"}
    )
    log.info("failed", exc_info=ValueError("no user ada@example.com"))
    ids = {"request_id": REQUEST_ID, "trace_id": TRACE_ID, "session_id": "[redacted]", "email": "ada@example.com"}
    assert lines() == [
        line(
            *("info", "app", "mail to [redacted]"),
            **ids,
            password="[redacted]",
            tax_id="[redacted]",
            data={"token": "[redacted]", "note": ["Bearer [redacted]"]},
        ),
        line("info", "lib", "using https://a:[redacted]@c.example", **ids, api_key="[redacted]"),
        line("info", "app", "failed", **ids, exception="ValueError: no user [redacted]"),
    ]


def test_levels_hold_for_structlog_and_for_the_standard_library_alike(start: Start, lines: Lines) -> None:
    """The least level counts everywhere, that of a quiet logger for all below it, the closest one winning."""
    start(level="info", quiet={"noisy": "error", "noisy.but.this": "debug"})
    for make in (get_logger, logging.getLogger):
        for name in ("app", "noisy", "noisy.child", "noisy.but.this", "noisy.but.this.one", "noisyish"):
            for level in ("debug", "info", "warning", "error"):
                getattr(make(name), level)("e")
    expected = [
        line(level, name, "e")
        for name, levels in {
            "app": ("info", "warning", "error"),
            "noisy": ("error",),
            "noisy.child": ("error",),
            "noisy.but.this": ("debug", "info", "warning", "error"),
            "noisy.but.this.one": ("debug", "info", "warning", "error"),
            "noisyish": ("info", "warning", "error"),
        }.items()
        for level in levels
    ]
    assert lines() == expected * 2


def test_levels_change_at_run_time(start: Start, lines: Lines) -> None:
    """`set_level` holds from the next call on, for loggers that exist already; an unknown level changes nothing."""
    logs = start(level="warning", quiet={"lib": "error"})
    log, lib = get_logger("app"), logging.getLogger("lib")
    bound = log.bind(a=1)

    def call() -> list[tuple[str, str]]:
        bound.debug("e")
        log.info("e")
        lib.info("e")
        lib.error("e")
        return [(written["logger"], written["level"]) for written in lines()]

    assert call() == [("lib", "error")]
    logs.set_level("info")
    assert call() == [("app", "info"), ("lib", "error")]
    logs.set_level("debug", {})
    assert call() == [("app", "debug"), ("app", "info"), ("lib", "info"), ("lib", "error")]
    with pytest.raises(ValueError, match="'loud' is no level; there are debug, info, warning, error, critical"):
        logs.set_level("loud")
    logs.set_level("critical", {"lib": "info"})
    assert call() == [("lib", "info"), ("lib", "error")]


def test_timestamps_are_utc_with_six_digits() -> None:
    """Each second is formatted once, its fractions each time, none rounded into the next."""
    now = [0]
    pipeline = Pipeline(Settings(), "json", clock=lambda: now[0])
    for moment, text in [
        (0, "1970-01-01T00:00:00.000000Z"),
        (250_000_000, "1970-01-01T00:00:00.250000Z"),
        (1763719751_999999_999, "2025-11-21T10:09:11.999999Z"),
        (1763719752_000000_000, "2025-11-21T10:09:12.000000Z"),
        (1763719751_500000_000, "2025-11-21T10:09:11.500000Z"),
        (951782400_000000_000, "2000-02-29T00:00:00.000000Z"),
    ]:
        now[0] = moment
        assert pipeline.timestamp() == pipeline.timestamp(moment) == text


def test_warnings_are_left_alone(start: Start) -> None:
    """Whether warnings are logged is for the application to say."""
    before = warnings.showwarning
    start()
    assert warnings.showwarning is before


def test_a_line_that_cannot_be_made_is_counted_and_breaks_nothing(
    start: Start, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure inside the pipeline reaches nobody who logs, is counted, and does not log itself for ever."""
    start()

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(Pipeline, "line", fail)
    get_logger("app").info("lost")
    assert failures.counts == {"logs": 2}
    monkeypatch.undo()
    get_logger("app").info("kept")
    assert lines() == [line("info", "app", "kept")]


def test_a_failure_is_logged_by_the_pipeline_itself(start: Start, lines: Lines) -> None:
    """Belvedere's own failures are lines like any other."""
    start()
    failures.contain("health", ValueError("x"))
    assert lines() == [
        line("error", "belvedere", "internal_error", feature="health", total=1, exception="ValueError: x"),
    ]
