"""What takes a while runs beside the event loop, and keeps no process from ending."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from functools import partial

import pytest

from belvedere.metrics.aside import Aside


async def test_calls_run_one_after_the_other_in_a_thread_of_their_own() -> None:
    """Each gets its result or its error, in the order of asking, in the same thread."""
    aside = Aside("beside")
    seen: list[str] = []

    def note(text: str) -> str:
        seen.append(f"{text} in {threading.current_thread().name}")
        if text == "broken":
            raise LookupError(text)
        return text

    results = await asyncio.gather(
        *(aside.run(partial(note, text)) for text in ("one", "broken", "two")), return_exceptions=True
    )
    aside.close()
    assert [str(result) for result in results] == ["one", "broken", "two"]
    assert isinstance(results[1], LookupError)
    assert seen == ["one in beside", "broken in beside", "two in beside"]


async def test_whoever_stops_waiting_harms_nobody() -> None:
    """A call whose asker was cancelled comes to its end, and the next one is answered."""
    aside = Aside("beside")
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        go_on.wait(30)

    asked = asyncio.create_task(aside.run(slow))
    assert await asyncio.to_thread(begun.wait, 30)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    go_on.set()
    assert await aside.run(lambda: "answered") == "answered"
    aside.close()


def test_a_collector_that_hangs_does_not_keep_the_process() -> None:
    """The process ends while somebody's collector still hangs in a scrape."""
    source = """
import asyncio, threading
import belvedere
from fastapi import FastAPI
from prometheus_client import REGISTRY

class Hanging:
    def describe(self):
        return []
    def collect(self):
        if threading.current_thread() is not threading.main_thread():
            print("hangs", flush=True)
            hangs.set()
            threading.Event().wait()
        return []

hangs = threading.Event()
REGISTRY.register(Hanging())
app = FastAPI()
belvedere.observe(app, settings=belvedere.Settings(logs=None))

async def main():
    async def receive():
        await asyncio.Event().wait()
    async def send(message):
        pass
    scope = {"type": "http", "method": "GET", "path": "/metrics", "headers": [], "query_string": b"", "client": None}
    scrape = asyncio.create_task(app(scope, receive, send))
    while not hangs.is_set():
        await asyncio.sleep(0.01)
    await asyncio.wait_for(scrape, 0.5)

try:
    asyncio.run(main())
except TimeoutError:
    print("given up", flush=True)
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=240, check=True)
    assert done.stdout.split("\n") == ["hangs", "given up", ""]
