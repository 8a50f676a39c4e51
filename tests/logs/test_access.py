"""The access line: what it says of a request, and that both ways of making it say the same."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import structlog

from belvedere import failures
from belvedere.asgi import Plan
from belvedere.asgi.client import masked
from belvedere.context import RequestContext
from belvedere.logs import Logs, get_logger
from belvedere.logs import output as outputs
from belvedere.logs.access import AccessLine
from belvedere.logs.pipeline import Pipeline
from belvedere.logs.writer import Writer
from tests.logs.conftest import Start
from tests.logs.lines import REQUEST_ID, SERVICE, TRACE_ID, Line, line, parsed, request
from tests.logs.pipes import Pipe, turn

Lines = Callable[[], list[Line]]


def access(logs: Logs) -> AccessLine:
    assert logs.access is not None
    return logs.access


def expected(level: str = "info", **fields: Any) -> Line:
    """Return the line of the request that `request()` makes, with other fields."""
    known = {
        "level": level,
        "logger": "belvedere.access",
        "event": "request_processed",
        **SERVICE,
        "request_id": REQUEST_ID,
        "trace_id": TRACE_ID,
        "method": "GET",
        "path": "/items/7",
        "endpoint": "/items/{item_id}",
        "status": 200,
        "latency_ms": 12.5,
        "response_bytes": 42,
        "client": "192.0.2.7",
    }
    return {key: value for key, value in {**known, **fields}.items() if value is not None}


def test_a_request_has_one_line(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    """It names method, path, template, status, duration, size and client, in that order, after what every line has."""
    logs = start()
    access(logs).finish(request())
    text = capsys.readouterr().out
    assert list(json.loads(text)) == ["timestamp", *expected()]
    assert parsed(text) == [expected()]


CASES: dict[str, tuple[dict[str, Any], dict[str, Any], RequestContext, Line | None]] = {
    "not found": (
        {},
        {},
        request("/none", "unmatched", status=404),
        expected("warning", path="/none", endpoint="unmatched", status=404),
    ),
    "failed": ({}, {}, request(status=500), expected("error", status=500)),
    "raised after the answer began": ({}, {}, request(exception=KeyError("k")), expected("error")),
    "client gone before": (
        {},
        {},
        request(status=499, disconnected=True, response_bytes=0),
        expected("warning", status=499, response_bytes=0),
    ),
    "client gone in between": ({}, {}, request(disconnected=True), expected(disconnected=True)),
    "excluded": ({}, {}, request(excluded=True), None),
    "web socket": (
        {},
        {},
        request("/ws", "/ws", method="WEBSOCKET", status=101, websocket=True, response_bytes=0),
        expected(method="WEBSOCKET", path="/ws", endpoint="/ws", status=101, response_bytes=0),
    ),
    "web socket refused": (
        {},
        {},
        request("/ws", "/ws", method="WEBSOCKET", status=403, websocket=True, response_bytes=0),
        expected("warning", method="WEBSOCKET", path="/ws", endpoint="/ws", status=403, response_bytes=0),
    ),
    "unknown method": (
        {},
        {},
        request(method='B"REW\x00', status=405),
        expected("warning", method='B"REW\x00', status=405),
    ),
    "path of any characters": (
        {},
        {},
        request('/ü/"\\\n\x00/100%s/\udcff'),
        expected(path='/ü/"\\\n\x00/100%s/\\udcff'),
    ),
    "secret in the path": (
        {},
        {},
        request("/reset/ada@example.com/4111111111111111"),
        expected(path="/reset/[redacted]/[redacted]"),
    ),
    "long path": (
        {},
        {},
        request("/" + "x" * 70_000),
        expected(path="/" + "x" * 65_535 + "… [4465 more characters]"),
    ),
    "template with a percent sign": ({}, {}, request("/100%", "/100%"), expected(path="/100%", endpoint="/100%")),
    "span": (
        {},
        {},
        request(span_id="00f067aa0ba902b7"),
        expected(span_id="00f067aa0ba902b7"),
    ),
    "bound": ({}, {}, request(bound={"user_id": 7, "plan": "a%b"}), expected(user_id=7, plan="a%b")),
    "bound under names of its own": (
        {},
        {},
        request(bound={"status": "s", "level": "l", "client": "c", "request_id": "r", "disconnected": "d"}),
        expected(status_="s", level_="l", client_="c", request_id_="r", disconnected_="d"),
    ),
    "bound and not fit for JSON": (
        {},
        {},
        request(bound={"a": {1}, "b": "\udcff", "c": 2**70, "token": "t"}),
        expected(a=[1], b="\\udcff", c=str(2**70), token="[redacted]"),
    ),
    "bound by structlog": ({"contextvars": {"tenant": "t"}}, {}, request(), expected(tenant="t")),
    "no client": ({}, {}, request(client=None), expected(client=None)),
    "client not shown": ({}, {"client": None}, request(), expected(client=None)),
    "client masked": ({}, {"client": "masked"}, request(), expected(client="192.0.2.0")),
    "client of another kind": ({}, {}, request(client="testclient"), expected(client="testclient")),
    "client of another kind, masked": ({}, {"client": "masked"}, request(client="testclient"), expected(client=None)),
    "constants": ({}, {"fields": {"region": "eu", "load": "5%"}}, request(), expected(region="eu", load="5%")),
    "too low a level": ({}, {"level": "warning"}, request(), None),
    "level high enough": (
        {},
        {"level": "warning"},
        request(status=400),
        expected("warning", status=400),
    ),
    "quiet": ({}, {"quiet": {"belvedere.access": "error"}}, request(status=404), None),
    "allowed path": (
        {},
        {"allow": ["path"]},
        request("/reset/ada@example.com"),
        expected(path="/reset/ada@example.com"),
    ),
    "redacted path": ({}, {"redact": ["path"]}, request(), expected(path="[redacted]")),
    "redacted client": ({}, {"redact": ["client"]}, request(), expected(client="[redacted]")),
    "another service": (
        {},
        {},
        request(service={"service": "bill%ing", "environment": "prod"}),
        expected(service="bill%ing", environment="prod"),
    ),
    "no service": ({}, {}, request(service={}), expected()),
}


@pytest.mark.parametrize("tapped", [False, True], ids=["by hand", "by the pipeline"])
@pytest.mark.parametrize("case", CASES)
def test_each_kind_of_request_has_its_line(
    start: Start, lines: Lines, monkeypatch: pytest.MonkeyPatch, case: str, tapped: bool
) -> None:
    """Whether it is put together from parts or made by the pipeline, the line is the same, the second time too."""
    context, settings, made, line = CASES[case]
    structlog.contextvars.bind_contextvars(**context.get("contextvars", {}))
    logs = start(**settings)
    told: list[Line] = []
    if tapped:
        monkeypatch.setattr(Pipeline, "taps", [told.append])
    for _ in range(2):
        access(logs).finish(made)
    written = lines()
    assert written == ([] if line is None else [line] * 2)
    assert [list(each) for each in written] == [["level", *list(each)[1:]] for each in written]
    if tapped:
        assert len(told) == len(written)


@pytest.mark.parametrize("tapped", [False, True], ids=["by hand", "by the pipeline"])
def test_order_of_keys_does_not_depend_on_the_way(
    start: Start, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tapped: bool
) -> None:
    """Constants and what was bound stand between the ids and the request's own fields; keys have their new names."""
    logs = start(fields={"region": "eu"}, keys={"event": "message", "status": "code", "user_id": "uid", "path": "url"})
    if tapped:
        monkeypatch.setattr(Pipeline, "taps", [lambda _: None])
    bound = {"user_id": 7, "code": "c", "message": "m"}
    access(logs).finish(request(span_id="s", bound=bound, disconnected=True))
    written = json.loads(capsys.readouterr().out)
    assert list(written) == [
        *("timestamp", "level", "logger", "message", "service", "environment", "request_id", "trace_id", "span_id"),
        *("region", "uid", "code_", "message_"),
        *("method", "url", "endpoint", "code", "latency_ms", "response_bytes", "client", "disconnected"),
    ]


def test_the_line_follows_changes_of_the_level(start: Start, lines: Lines) -> None:
    """A level that changes at run time counts for requests of a kind that was seen before."""
    logs = start()
    access(logs).finish(request())
    logs.set_level("error")
    access(logs).finish(request())
    logs.set_level("info")
    access(logs).finish(request())
    assert lines() == [expected()] * 2


def test_two_applications_take_turns(start: Start, lines: Lines) -> None:
    """Applications that share the process each have their own name in their lines, and their own way with clients."""
    other = {"service": "billing", "environment": "prod"}
    first, second = start(), start(**other, client=None)
    for logs, service in ((first, SERVICE), (second, other), (first, SERVICE)):
        access(logs).finish(request(service=service))
    assert lines() == [expected(), expected(**other, client=None), expected()]


def test_many_paths_and_clients_leave_no_memory(start: Start, lines: Lines) -> None:
    """What is kept of paths, clients and methods is bounded, however many there are."""
    logs = start()
    observer = access(logs)
    for number in range(3000):
        observer.finish(request(f"/items/{number}", client=f"10.0.{number // 256}.{number % 256}", method=f"M{number}"))
    assert sum(len(kept) for kept in vars(observer._forms).values() if isinstance(kept, dict)) < 2 * 2100
    assert lines()[-1] == expected(path="/items/2999", client="10.0.11.183", method="M2999")


async def test_a_line_tells_what_was_so_at_the_end_of_its_request(
    start: Start, pipe: Pipe, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What changes between the end of a request and the writing of its line is not in it, and lines stay in order."""
    logs = start()
    assert outputs.active is not None
    monkeypatch.setattr(outputs.active, "writer", writer)
    first, second = request(bound={"user_id": 7}), request("/items/8")
    get_logger("app").info("before")
    access(logs).finish(first)
    assert first.bound is not None
    first.bound["user_id"] = "of a background task"
    first.exception, first.disconnected = KeyError("k"), True
    get_logger("app").info("between")
    access(logs).finish(second)
    second.bound = {"user_id": 8}
    logs.set_level("error")
    assert pipe.read() == b""
    await turn()
    assert parsed(pipe.read().decode()) == [
        line("info", "app", "before"),
        expected(user_id=7),
        line("info", "app", "between"),
        expected(path="/items/8"),
    ]


async def test_a_line_that_cannot_be_made_takes_no_other_with_it(
    start: Start, pipe: Pipe, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure while lines are made is counted, and the others are written."""
    logs = start()
    assert outputs.active is not None
    monkeypatch.setattr(outputs.active, "writer", writer)
    before = failures.counts["logs"]
    monkeypatch.setitem(failures._last_logged, "logs", time.monotonic())
    access(logs).finish(request())
    access(logs).finish(request(response_bytes=object()))
    get_logger("app").info("after")
    await turn()
    assert parsed(pipe.read().decode()) == [expected(), line("info", "app", "after")]
    assert failures.counts["logs"] > before


def test_without_access_lines_there_is_no_observer(start: Start) -> None:
    """`logs.access = false` leaves requests without a line."""
    assert start(access=False).access is None


def test_the_observer_has_nothing_to_do_before_and_after(start: Start, lines: Lines) -> None:
    """`begin` is marked as idle, so that it is not called; without an installed output nothing is written."""
    logs = start()
    observer = access(logs)
    plan = Plan()
    plan.observe([observer])
    assert (plan.beginners, plan.observers) == ((), (observer,))
    observer.begin(request())
    assert observer.feature == "logs"
    logs.remove()
    observer.finish(request())
    assert lines() == []


@pytest.mark.parametrize(
    ("client", "shown"),
    [
        ("192.0.2.77", "192.0.2.0"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ("::ffff:192.0.2.77", "192.0.2.0"),
        ("fe80::1%eth0", "fe80::"),
        ("testclient", None),
        ("", None),
    ],
)
def test_masked_addresses_are_networks(client: str, shown: str | None) -> None:
    """The last octet of IPv4 and the last 80 bits of IPv6 are zero; what is no address is not shown."""
    assert masked(client) == shown
