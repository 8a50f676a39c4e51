"""The load: clients on connections of their own, each request under a trace id that its interaction must have."""

from __future__ import annotations

import asyncio
import json
import random
import time
import uuid
from collections.abc import Callable

from tests.endurance.client import BROKEN, Connection
from tests.endurance.ledger import Entry, Ledger

Asked = tuple[str, str, Entry, bytes]
Seen = Callable[[Entry], None]
"""Told of each whole answer the moment that its last byte is read."""

_LEAVES_AFTER = 0.05
"""Seconds after which a client goes away from an answer that takes 0.3."""

AFTERWARDS = 1.0
"""Seconds after which the service, too, is through with requests that nobody waits for."""


class Traffic:
    """Sends requests at a steady pace, over several connections, until so many are answered.

    Args:
        port: of the service.
        ledger: gets every request.
        requests: how many answers are to be recorded.
        rate: requests a second, over all connections.
        connections: at a time.
        seen: told of each whole answer.
        seed: decides what is asked.
    """

    def __init__(
        self,
        port: int,
        ledger: Ledger,
        requests: int,
        rate: float,
        *,
        connections: int = 16,
        seen: Seen | None = None,
        seed: int = 11,
    ) -> None:
        self._port = port
        self._ledger = ledger
        self._requests = requests
        self._interval = 1 / rate
        self._connections = connections
        self._seen = seen
        self._random = random.Random(seed)
        self._sent = self._answered = 0
        asks: list[tuple[Callable[[], Asked], int]] = [
            (self._view, 30),
            (self._missing, 6),
            (self._mistyped, 4),
            (self._head, 5),
            (self._remove, 5),
            (self._search, 10),
            (self._unparsable, 4),
            (self._private, 5),
            (self._often, 4),
            (self._failing, 4),
            (self._stream, 4),
            (self._measured, 4),
            (self._unchanged, 3),
            (self._empty, 3),
            (self._order, 5),
            (self._shop, 6),
            (self._plain, 2),
            (self._slow, 2),
        ]
        self._kinds = [kind for kind, _ in asks]
        self._weights = [weight for _, weight in asks]

    async def run(self) -> None:
        """Send them."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for _ in range(self._connections):
                group.create_task(self._client(began))

    async def _client(self, began: float) -> None:
        connection = Connection(self._port)
        worker = 0
        while self._answered < self._requests:
            due = began + self._sent * self._interval
            self._sent += 1
            if (wait := due - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            worker = await self._one(connection, worker)
        connection.close()

    async def _one(self, connection: Connection, worker: int) -> int:
        """Send one request; return the worker at the other end, 0 if that is not known."""
        method, path, entry, body = self._random.choices(self._kinds, self._weights)[0]()
        trace, headers = self._named()
        entry.worker = worker
        if entry.event == "slow" and worker:
            return await self._leave(connection, trace or uuid.uuid4().hex, method, path, entry)
        try:
            answer = await connection.ask(method, path, headers, body)
        except BROKEN:
            entry.at = time.monotonic()
            if trace is None:
                self._ledger.nameless += 1
            else:
                self._ledger.entries[trace] = entry
            return 0
        # Starlette's own answer to an exception does not pass the middleware that tells the worker.
        entry.fate, entry.status, entry.worker = "answered", answer.status, int(answer.headers.get("x-worker", worker))
        entry.at = time.monotonic()
        if self._seen is not None:
            self._seen(entry)
        self._answered += entry.event is not None
        told = answer.headers["x-request-id"]
        if told != headers.get("X-Request-ID", told):
            self._ledger.wrong_ids.append(told)
        self._ledger.entries[trace or told.replace("-", "")] = entry
        return entry.worker

    async def _leave(self, connection: Connection, trace: str, method: str, path: str, entry: Entry) -> int:
        """Go away before the answer comes; of whom the worker is known from the connection's last answer."""
        try:
            await connection.send(method, path, {"X-Request-ID": trace})
        except BROKEN:
            entry.worker = 0
        else:
            await asyncio.sleep(_LEAVES_AFTER)
            entry.fate, entry.status = "left", 499
        entry.at = time.monotonic()
        self._ledger.entries[trace] = entry
        connection.close()
        return 0

    def _named(self) -> tuple[str | None, dict[str, str]]:
        """Return the trace id that must be recorded, None where the answer tells it, and the headers for it."""
        identity = uuid.UUID(int=self._random.getrandbits(128), version=4)
        match self._random.randrange(10):
            case 0:
                return None, {}
            case 1:
                # The request's own id goes elsewhere where somebody traces it.
                parent = f"00-{identity.hex}-{identity.hex[:16]}-01"
                return identity.hex, {"X-Request-ID": f"asked.{identity.hex}", "traceparent": parent}
            case 2:
                return str(identity), {"X-Request-ID": str(identity)}
            case _:
                return f"asked-{identity.hex}", {"X-Request-ID": f"asked-{identity.hex}"}

    def _number(self) -> int:
        return self._random.randrange(1_000_000)

    def _user(self, number: int) -> str:
        return f"u{number % 7}"

    def _view(self) -> Asked:
        number = self._number()
        path = f"/items/{number}"
        return "GET", f"{path}?page={number}", Entry(
            "view", "GET", path, str(number), self._user(number), {"page": str(number)}
        ), b""  # fmt: skip

    def _missing(self) -> Asked:
        number = self._number() + 1_000_000
        path = f"/items/{number}"
        return "GET", path, Entry("view", "GET", path, str(number), self._user(number), {}), b""

    def _mistyped(self) -> Asked:
        return "GET", "/items/first", Entry("view", "GET", "/items/first", "first", None, {}), b""

    def _head(self) -> Asked:
        number = self._number()
        path = f"/items/{number}"
        return "HEAD", path, Entry("view", "HEAD", path, str(number), self._user(number), {}), b""

    def _remove(self) -> Asked:
        number = self._number()
        path = f"/items/{number}"
        return "DELETE", path, Entry("remove", "DELETE", path, str(number), None, {}), b""

    def _search(self) -> Asked:
        text = f"oak {self._number()}"
        body = json.dumps({"text": text, "limit": 3}).encode()
        return "POST", "/search", Entry("search", "POST", "/search", None, None, {"text": text}), body

    def _unparsable(self) -> Asked:
        return "POST", "/search", Entry("search", "POST", "/search", None, None, {}), b'{"text": '

    def _private(self) -> Asked:
        number = self._number()
        path = f"/private/{number}"
        return "GET", path, Entry("private", "GET", path, str(number), None, {}), b""

    def _order(self) -> Asked:
        return "POST", "/orders", Entry("order", "POST", "/orders", None, None, {}), b"{}"

    def _shop(self) -> Asked:
        number = self._number()
        path = f"/shop/{number}"
        return "GET", path, Entry("shop", "GET", path, str(number), self._user(number), {}), b""

    def _plain(self) -> Asked:
        return "GET", "/plain", Entry(None, "GET", "/plain", None, None, {}), b""

    def _often(self) -> Asked:
        return _bare("/often", "often")

    def _failing(self) -> Asked:
        return _bare("/failing", "fail")

    def _stream(self) -> Asked:
        return _bare("/stream", "stream")

    def _measured(self) -> Asked:
        return _bare("/measured", "measured")

    def _unchanged(self) -> Asked:
        return _bare("/unchanged", "unchanged")

    def _empty(self) -> Asked:
        return _bare("/empty", "empty")

    def _slow(self) -> Asked:
        return _bare("/slow", "slow")


def _bare(path: str, event: str) -> Asked:
    return "GET", path, Entry(event, "GET", path, None, None, {}), b""
