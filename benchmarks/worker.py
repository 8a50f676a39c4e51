"""A child that answers the request in a loop, without sockets, and tells how much CPU time it took.

`python -m benchmarks.worker BUILD DESCRIPTOR`: each line on standard input is a number of requests, and how many
arrive in one turn of the loop; each answer, a line of JSON, goes to the descriptor. Standard output stays the
application's own, for its log lines.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import os
import sys
import time

from benchmarks.application import scope
from benchmarks.variants import ASGIApp, Message, application

WARM_UP = 300

numbers = itertools.count(1)
"""Each request asks for another scholarship: whoever remembers paths finds none again."""


class Cycle:
    """The server's side of one request, with the references that uvicorn's has: to the scope, and methods as channels.

    Whoever keeps a channel in the scope closes a circle, which only the garbage collector would free.
    """

    def __init__(self, number: int) -> None:
        self.scope = scope(number)
        self.disconnected = False
        self.received = False
        self.status = 0
        self.body = b""

    async def run(self, app: ASGIApp) -> None:
        """Have the application answer."""
        await app(self.scope, self.receive, self.send)

    async def receive(self) -> Message:
        """An empty body; whoever asks again waits for a client that stays."""
        if self.received:
            await asyncio.get_running_loop().create_future()
        self.received = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Message) -> None:
        """Take what the application sends."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.body += message.get("body", b"")


async def drive(app: ASGIApp, count: int, together: int = 1) -> None:
    """Answer `count` requests, each in a task of its own, `together` of them per turn of the loop, as a server does.

    Whoever gathers log lines per turn of the loop gathers as many here; one at a time, none.
    """
    loop = asyncio.get_running_loop()
    for _ in range(count // together):
        tasks = [loop.create_task(Cycle(next(numbers)).run(app)) for _ in range(together)]
        for task in tasks:
            await task


async def lifespan(app: ASGIApp, started: asyncio.Event, stop: asyncio.Event) -> None:
    """Start the application and stop it, by the protocol."""
    messages: list[Message] = [{"type": "lifespan.startup"}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await stop.wait()
        return {"type": "lifespan.shutdown"}

    async def send(message: Message) -> None:
        if message["type"].endswith("failed"):
            raise RuntimeError(f"the application's lifespan failed: {message.get('message', '')}")
        started.set()

    await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)


async def started_application(app: ASGIApp) -> tuple[asyncio.Task[None], asyncio.Event]:
    """Run the start-up, check one answer and warm up."""
    started, stop = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(lifespan(app, started, stop))
    waiting = asyncio.create_task(started.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if not started.is_set():
        await task
    first = Cycle(7)
    await first.run(app)
    if first.status != 200 or b"Chevening" not in first.body:
        raise RuntimeError(f"the variant does not answer: {first.status} {first.body[:200]!r}")
    await drive(app, WARM_UP)
    return task, stop


def new_loop() -> asyncio.AbstractEventLoop:
    """uvloop where it is installed, as `uvicorn[standard]` runs."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def work(build: str, answers: int) -> None:
    """Serve rounds until standard input ends."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        app = application(build)
        task, stop = runner.run(started_application(app))
        os.write(answers, json.dumps({"requests": WARM_UP + 1}).encode() + b"\n")
        for line in sys.stdin:
            count, together = map(int, line.split())
            gc.collect()
            began = time.process_time()
            runner.run(drive(app, count, together))
            spent = time.process_time() - began
            os.write(answers, json.dumps({"cpu_us": spent / count * 1e6, "requests": count}).encode() + b"\n")

        async def shut_down() -> None:
            stop.set()
            await asyncio.wait_for(task, 5)

        runner.run(shut_down())


if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]))
