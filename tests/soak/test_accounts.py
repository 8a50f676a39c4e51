"""The accounts find what does not add up: a soak that cannot fail would prove nothing."""

from __future__ import annotations

import json
from typing import Any

from tests.soak.accounts import Samples, decreased, faults
from tests.soak.ledger import Entry, Ledger

READ = Entry("/orders/{number}", "GET", "answered", 200, 1, 0.0)


def ledger(**entries: Entry) -> Ledger:
    return Ledger(entries=dict(entries))


def line(event: str, **fields: Any) -> str:
    return json.dumps({"event": event, "request_id": "a", **fields})


ACCESS = line("request_processed", endpoint="/orders/{number}", status=200)
LINES = [line("order_read"), ACCESS]


def counted(count: float, **more: float) -> Samples:
    labels = frozenset({"method": "GET", "endpoint": "/orders/{number}", "status": "200"}.items())
    return {("http_requests_total", labels): count, **{(name, frozenset()): value for name, value in more.items()}}


def test_what_adds_up_has_no_faults() -> None:
    """One request, its two lines and its count are in order."""
    assert faults(ledger(a=READ), LINES, counted(1)) == []


def test_each_fault_is_told() -> None:
    """A line too many, too few, wrong or broken, an event, a count or a gauge that is off: each is a fault."""
    one = ledger(a=READ)
    wrong = line("request_processed", endpoint="/orders/{number}", status=500)
    cases = {
        "two access lines": (one, [*LINES, ACCESS], counted(1)),
        "no access line": (one, LINES[:1], counted(1)),
        "another status": (one, [LINES[0], wrong], counted(1)),
        "no event": (one, LINES[1:], counted(1)),
        "an event twice": (one, [LINES[0], *LINES], counted(1)),
        "not JSON": (one, [*LINES, "Traceback (most recent call last):"], counted(1)),
        "too few counted": (one, LINES, counted(0)),
        "too many counted": (one, LINES, counted(2)),
        "an internal error": (one, LINES, counted(1, belvedere_internal_errors_total=1)),
        "a dropped line": (one, LINES, counted(1, belvedere_log_lines_dropped_total=1)),
        "still in progress": (one, LINES, counted(1, http_requests_in_progress=1)),
        "another id": (Ledger(entries={"a": READ}, wrong_ids=["a"]), LINES, counted(1)),
    }
    assert [name for name, case in cases.items() if not faults(*case)] == []


def test_lines_of_a_worker_that_was_killed_may_be_missing_and_its_counts_but_for_the_last_may_not() -> None:
    """What was answered shortly before a kill needs no line; of it, the last answer alone need not be counted."""
    before = Entry("/orders/{number}", "GET", "answered", 200, 1, -0.02)
    killed = Ledger(entries={"a": READ, "b": before}, kills={1: 0.05})
    assert faults(killed, [], counted(2)) == []
    assert faults(killed, [], counted(1)) == []
    assert faults(killed, [], counted(0)) != []
    late = Ledger(entries={"a": READ}, kills={1: 5.0})
    assert faults(late, [], counted(1)) != []
    assert faults(late, LINES, counted(0)) != []


def test_a_count_that_goes_back_is_told() -> None:
    """Between two scrapes counts only rise, and none vanishes; gauges may do as they like."""
    gauge = {("http_requests_in_progress", frozenset[tuple[str, str]]()): 5.0}
    assert decreased({**counted(2), **gauge}, {**counted(2)}) == []
    assert decreased(counted(2), counted(1)) != []
    assert decreased(counted(2), {}) != []
