"""The load: clients that ask, fail, leave early, stream and converse, each request under an id of its own."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Awaitable, Callable

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, WebSocketException

from tests.soak.ledger import Entry, Fate, Ledger

CLIENTS = 12
_BROKEN = (httpx.TransportError, OSError)


class Client:
    """One client, which sends one request after the other until `ends` on the monotonic clock.

    Args:
        base: where the service is.
        ledger: gets every request.
        seed: decides what is asked.
    """

    def __init__(self, base: str, ledger: Ledger, seed: int) -> None:
        self._base = base
        self._ledger = ledger
        self._random = random.Random(seed)

    async def run(self, ends: float) -> None:
        asks: list[tuple[Callable[[], Awaitable[None]], int]] = [
            (self._read, 50),
            (self._place, 15),
            (self._bad, 6),
            (self._missing, 6),
            (self._in_a_thread, 6),
            (self._failing, 5),
            (self._stream, 4),
            (self._leave, 4),
            (self._converse, 4),
        ]
        kinds, weights = zip(*asks, strict=True)
        async with httpx.AsyncClient(base_url=self._base, timeout=60) as self._http:
            while time.monotonic() < ends:
                await self._random.choices(kinds, weights)[0]()

    async def _read(self) -> None:
        await self._ask("GET", f"/orders/{self._random.randrange(1000)}", "/orders/{number}")

    async def _place(self) -> None:
        order = {"channel": self._random.choice(["web", "shop", "phone"]), "quantity": 1}
        await self._ask("POST", "/orders", "/orders", order)

    async def _bad(self) -> None:
        await self._ask("POST", "/orders", "/orders", {"quantity": "many"})

    async def _missing(self) -> None:
        await self._ask("GET", f"/nothing/{uuid.uuid4()}", "unmatched")

    async def _in_a_thread(self) -> None:
        await self._ask("GET", "/sync", "/sync")

    async def _failing(self) -> None:
        await self._ask("GET", "/failing", "/failing")

    async def _ask(self, method: str, path: str, endpoint: str, body: object = None) -> None:
        request_id = str(uuid.UUID(int=self._random.getrandbits(128), version=4))
        try:
            answer = await self._http.request(method, path, json=body, headers={"X-Request-ID": request_id})
        except _BROKEN:
            self._note(request_id, method, endpoint, "cut")
            return
        self._note(request_id, method, endpoint, "answered", answer)

    async def _stream(self) -> None:
        request_id = str(uuid.uuid4())
        leaves = self._random.random() < 0.5
        try:
            asked = self._http.stream("GET", "/stream", headers={"X-Request-ID": request_id})
            async with asked as answer:
                async for _ in answer.aiter_raw():
                    if leaves:
                        break
        except _BROKEN:
            self._note(request_id, "GET", "/stream", "cut")
            return
        self._note(request_id, "GET", "/stream", "left" if leaves else "answered", answer)

    async def _leave(self) -> None:
        """Ask for what takes a while, and go away before it is there."""
        request_id = str(uuid.uuid4())
        try:
            async with httpx.AsyncClient(base_url=self._base, timeout=60) as http:
                timeout = httpx.Timeout(20, read=0.05)
                answer = await http.get("/slow", headers={"X-Request-ID": request_id}, timeout=timeout)
            # It was faster than this client could give up.
            self._note(request_id, "GET", "/slow", "answered", answer)
        except httpx.ReadTimeout:
            self._note(request_id, "GET", "/slow", "left")
        except _BROKEN:
            self._note(request_id, "GET", "/slow", "cut")

    async def _converse(self) -> None:
        request_id = str(uuid.uuid4())
        fate: Fate = "cut"
        worker = 0
        try:
            address = self._base.replace("http", "ws") + "/live"
            async with connect(address, additional_headers={"X-Request-ID": request_id}, proxy=None) as live:
                for number in range(self._random.randrange(1, 5)):
                    await live.send(str(number))
                    worker = int(await live.recv())
            fate = "answered"
        except (*_BROKEN, WebSocketException, InvalidHandshake, EOFError):
            pass
        self._ledger.note(request_id, Entry("/live", "WEBSOCKET", fate, 101, worker, time.monotonic()))

    def _note(
        self, request_id: str, method: str, endpoint: str, fate: Fate, answer: httpx.Response | None = None
    ) -> None:
        status = 0 if answer is None else answer.status_code
        worker = 0 if answer is None else int(answer.headers.get("x-worker", 0))
        entry = Entry(endpoint, method, fate, status, worker, time.monotonic())
        self._ledger.note(request_id, entry, None if answer is None else answer.headers.get("x-request-id"))


async def load(base: str, ledger: Ledger, seconds: float, clients: int = CLIENTS) -> None:
    """Run all clients for so long."""
    ends = time.monotonic() + seconds
    async with asyncio.TaskGroup() as group:
        for seed in range(clients):
            group.create_task(Client(base, ledger, seed).run(ends))
