"""Each way to start an application: one line, one traceback, one id per request, and nothing but JSON."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.processes.setups import REQUESTS, SETUPS, Findings, SetUp, find
from tests.processes.table import documented, ids_are_right, row


@pytest.mark.parametrize("setup", SETUPS, ids=lambda setup: setup.name)
def test_a_set_up(setup: SetUp, tmp_path: Path) -> None:
    """All that is promised for real servers, on the same processes; and the table of the documentation says so."""
    found = find(setup, tmp_path)
    check_lines(setup, found)
    check_requests(found)
    check_what_python_prints(found)
    check_end(setup, found)
    check_removal(found)
    assert row(setup, found) == documented()[f"`{setup.name}`"]


def test_the_table_has_every_set_up() -> None:
    """`docs/servers.md` has a row for each set-up that is tried, and for no other."""
    assert list(documented()) == [f"`{setup.name}`" for setup in SETUPS]


def check_lines(setup: SetUp, found: Findings) -> None:
    """Who has loaded the application writes JSON alone; with a logging configuration, everybody does."""
    assert found.served.foreign(setup) == []
    assert found.configured.texts == []
    for written in (found.served, found.configured):
        assert written.err == "" or written is found.served
        assert {(line["service"], line["environment"]) for line in written.lines} == {("shop", "test")}
    if setup.preloads:
        assert found.served.texts == []
    # What a server says of its start is there, whoever says it.
    told = found.configured.out
    assert any(text in told for text in ("running on", "Listening at", "Running on"))


def check_requests(found: Findings) -> None:
    """200 requests at the same time: each has its own id everywhere, one access line, and its traceback once."""
    assert len(found.served.asked) == REQUESTS
    assert sum(asked.status == 500 for asked in found.served.asked) == REQUESTS // 5
    assert found.access_lines == {1}
    assert found.tracebacks == {1}
    assert ids_are_right(found)
    order = [line["request_id"] for line in found.served.lines if "request_id" in line]
    assert any(order.index(identity) + 3 < len(order) - order[::-1].index(identity) for identity in set(order))


def check_what_python_prints(found: Findings) -> None:
    """A warning, an exception in a thread, in `__del__`, in a task: each is one line."""
    served = found.served
    (warned,) = served.events("old ways")
    assert (warned["logger"], warned["category"]) == ("py.warnings", "UserWarning")
    assert "request_id" in warned
    (uncaught,) = served.events("uncaught_exception")
    assert uncaught["thread_name"] == "counting"
    (ignored,) = served.events("ignored_exception")
    assert ignored["exception_message"] == "cannot be taken apart"
    assert sum("nobody asks for it" in line.get("exception", "") for line in served.lines) == 1


def check_end(setup: SetUp, found: Findings) -> None:
    """SIGTERM ends every process in good order; each worker tells once that it has stopped."""
    for written in (found.served, found.configured):
        assert written.code == setup.ends
        started, stopped = (len(written.events(event)) for event in ("application_started", "application_stopped"))
        assert started == stopped
        assert started >= setup.workers + setup.reloads
        assert "Traceback" not in written.err
    if setup.recycles:
        assert len(found.served.events("application_started")) > setup.workers


def check_removal(found: Findings) -> None:
    """After `remove()` in every worker, all is as if Belvedere had never been on: state, lines, traceback, end."""
    assert found.removed == found.bare
    assert any("RuntimeError: no stock" in line for line in found.bare["failing"])
