"""`belvedere_logs`: the lines of a test, as they leave the process."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

import belvedere
from belvedere.testing import CapturedLogs
from tests.testing.conftest import shop


def without_what_varies(line: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in line.items() if key not in {"timestamp", "latency_ms", "trace_id"}}


def test_logs_are_what_leaves_the_process(app: FastAPI, belvedere_logs: CapturedLogs) -> None:
    """A line has its context, is redacted, and comes with the access line; in the order in which they were written."""
    TestClient(app).get("/orders/7", headers={"X-Request-ID": "r1"})
    request = {"service": "shop", "environment": "local", "request_id": "r1", "user_id": 7}
    lines = [without_what_varies(line) for line in belvedere_logs if not line["logger"].startswith("httpx")]
    assert lines == [
        {
            "level": "info",
            "logger": "shop",
            "event": "order_placed",
            **request,
            "order_id": 7,
            "password": "[redacted]",
            "note": "to [redacted]",
        },
        {
            "level": "info",
            "logger": "belvedere.access",
            "event": "request_processed",
            **request,
            "method": "GET",
            "path": "/orders/7",
            "endpoint": "/orders/{order_id}",
            "status": 200,
            "response_bytes": 1,
            "client": "testclient",
        },
    ]
    assert [event for event in belvedere_logs.events if not event.startswith("HTTP")] == [
        "order_placed",
        "request_processed",
    ]


def test_logs_have_their_final_names(belvedere_logs: CapturedLogs) -> None:
    """With renamed keys, the lines have the new names, and events are found all the same."""
    app = shop(logs={"keys": {"event": "message", "order_id": "order"}})
    TestClient(app).get("/orders/7")
    app.state.belvedere.remove()
    line = belvedere_logs.one("order_placed")
    assert (line["message"], line["order"]) == ("order_placed", 7)
    assert "event" not in line


def test_logs_of_an_application_observed_within_the_test(belvedere_logs: CapturedLogs) -> None:
    """It does not matter when the application was observed; what is logged while none is, is not captured."""
    logging.getLogger("shop").error("too early")
    app = shop()
    logging.getLogger("shop").error("in time", extra={"when": {1, 2}})
    app.state.belvedere.remove()
    logging.getLogger("shop").error("too late")
    assert belvedere_logs.events == ["in time"]
    assert belvedere_logs[0]["when"] == [1, 2]


def test_logs_from_other_threads(app: FastAPI, belvedere_logs: CapturedLogs) -> None:
    """Whichever thread logs is captured."""
    thread = threading.Thread(target=belvedere.get_logger("shop").warning, args=("from_a_thread",))
    thread.start()
    thread.join()
    assert belvedere_logs.one("from_a_thread")["level"] == "warning"


def test_finding_lines(app: FastAPI, belvedere_logs: CapturedLogs) -> None:
    """Lines are found by event, by fields, or by both."""
    log = belvedere.get_logger("shop")
    log.info("sold", item="tea", extra=None)
    log.info("sold", item="milk", tags=["cold"])
    log.info("bought", item="tea")
    assert [line["item"] for line in belvedere_logs.find("sold")] == ["tea", "milk"]
    assert [line["event"] for line in belvedere_logs.find(item="tea")] == ["sold", "bought"]
    assert belvedere_logs.find("sold", item="milk", tags=["cold"]) == [belvedere_logs[1]]
    assert belvedere_logs.find("bought", extra=None) == []
    assert belvedere_logs.one("bought") is belvedere_logs[2]
    belvedere_logs.clear()
    assert (belvedere_logs, belvedere_logs.events, belvedere_logs.find()) == ([], [], [])


def test_one_line_that_is_not_one(app: FastAPI, belvedere_logs: CapturedLogs) -> None:
    """`one` says how many there are, and lists what was logged."""
    belvedere.get_logger("shop").info("sold", item="tea")
    belvedere.get_logger("shop").info("sold", item="milk")
    listed = "".join(f"\n  {line}" for line in belvedere_logs)
    with pytest.raises(AssertionError) as raised:
        belvedere_logs.one("sold")
    assert str(raised.value) == f"2 lines with 'sold', not one, among{listed}"
    with pytest.raises(AssertionError) as raised:
        belvedere_logs.one("sold", item="eggs")
    assert str(raised.value) == f"0 lines with 'sold', item='eggs', not one, among{listed}"


def test_one_line_where_nothing_was_logged(belvedere_logs: CapturedLogs) -> None:
    """Where nothing is captured, `one` says what may be the reason."""
    with pytest.raises(AssertionError, match="while no application is observed is not captured"):
        belvedere_logs.one("sold")
