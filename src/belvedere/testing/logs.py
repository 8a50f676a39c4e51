"""The fixture `belvedere_logs`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

Line = dict[str, Any]


class CapturedLogs(list[Line]):
    """The log lines of a test as dictionaries, oldest first.

    Each is what the JSON of the line says: with its context, redacted, under the names that `logs.keys` gives. Whoever
    logs is captured, by structlog, the standard library or a server, and in any thread. Lines below the level in force
    are not written, and so not here.
    """

    def __init__(self) -> None:
        super().__init__()
        self._events: list[str] = []

    @property
    def events(self) -> list[str]:
        """The event of each line, whatever its key is called: what happened, at a glance."""
        return list(self._events)

    def find(self, event: str | None = None, /, **fields: Any) -> list[Line]:
        """Return the lines of that event (of any, if `None`) that have all these fields with these values."""
        return [
            line
            for name, line in zip(self._events, self, strict=True)
            if (event is None or name == event) and fields.items() <= line.items()
        ]

    def one(self, event: str | None = None, /, **fields: Any) -> Line:
        """Return the one line that `find` finds.

        Raises:
            AssertionError: there is none, or more than one; it lists what was logged.
        """
        found = self.find(event, **fields)
        if len(found) != 1:
            shown = "".join(f"\n  {line}" for line in self) or (
                "\n  nothing: what is logged while no application is observed is not captured"
            )
            raise AssertionError(f"{len(found)} lines with {described(event, fields)}, not one, among{shown}")
        return found[0]

    def clear(self) -> None:
        """Forget what was logged so far."""
        super().clear()
        self._events.clear()

    def _take(self, line: Line) -> None:
        import orjson

        from belvedere.logs import output

        if output.active is None:
            return
        pipeline = output.active.pipeline
        # As JSON has it: the line itself may hold what only becomes plain on the way out.
        plain: Line = orjson.loads(pipeline.json(line))
        self._events.append(str(plain.get(pipeline.keys.get("event", "event"))))
        self.append(plain)


def described(name: str | None, fields: dict[str, Any]) -> str:
    """Return what somebody looked for, as they wrote it."""
    return ", ".join([*([] if name is None else [repr(name)]), *(f"{key}={value!r}" for key, value in fields.items())])


@pytest.fixture
def belvedere_logs() -> Iterator[CapturedLogs]:
    """The log lines of this test, as they leave the process; they are written as ever, too.

        def test_order(client, belvedere_logs):
            client.post("/orders", json={"id": 7})
            assert belvedere_logs.one("order_placed")["order_id"] == 7
            assert belvedere_logs.one("request_processed", status=201)["endpoint"] == "/orders"

    Applications may be observed before the test or within it. While none is, nothing is captured.
    """
    from belvedere.logs.pipeline import Pipeline

    logs = CapturedLogs()
    tap = logs._take
    Pipeline.taps.append(tap)
    try:
        yield logs
    finally:
        Pipeline.taps.remove(tap)
