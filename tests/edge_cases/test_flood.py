"""A flood: whatever is asked for, the number of series is bounded and memory is flat."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import random
import re
import string
import sys
import tracemalloc
from typing import Any

import pytest
import starlette
from fastapi import FastAPI

import belvedere
from belvedere.logs import forms
from tests.drive import ask, samples
from tests.edge_cases.conftest import Observe

CHARACTERS = string.ascii_letters + string.digits + "-._~!$&'()*+,;=:@ é\x00"

if starlette.__version__.startswith("0."):
    # Its mounts take the path for a regular expression, and fail where it is none.
    CHARACTERS = CHARACTERS.translate(dict.fromkeys(map(ord, "()*+$")))


class Sink:
    """Takes what is written to stdout, and keeps nothing of it."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        """There is nothing to write out."""


def application() -> FastAPI:
    """Return an application with routes, a parameterised mount and an endpoint that binds context."""
    app = FastAPI()
    sub = FastAPI()

    @sub.get("/items/{item}")
    async def item(item: str) -> str:
        return item

    @app.api_route("/users/{user}", methods=["GET", "POST", "DELETE"])
    async def user(user: str) -> str:
        belvedere.bind(tenant=user)
        return user

    app.mount("/tenants/{tenant}", sub)
    return app


async def flood(app: Any, count: int, dice: random.Random) -> None:
    """Ask for `count` random paths, methods and hosts, with random ids."""

    def word() -> str:
        return "".join(dice.choices(CHARACTERS, k=dice.randrange(1, 30)))

    for _ in range(count):
        path = dice.choice(["/{}", "/users/{}", "/tenants/{}/items/{}", "/tenants/{}/{}", "/{}/{}/{}"])
        headers = [
            (b"host", word().encode()),
            (b"x-request-id", word().encode()),
            (b"x-forwarded-for", word().encode()),
            (b"user-agent", word().encode()),
            (word().encode(), word().encode()),
        ]
        await ask(
            app,
            dice.choice(["GET", "GET", "POST", "HEAD", word().upper(), word()]),
            path.format(word(), word(), word()),
            headers=headers,
            query=word().encode(),
            client=(f"10.{dice.randrange(256)}.{dice.randrange(256)}.{dice.randrange(256)}", 4711),
        )
        await asyncio.sleep(0)  # a server's loop goes round, and cleans up


def kept() -> int:
    """Return the bytes that are in use since tracing began, without what only waits to be collected."""
    re.purge()  # older Starlettes make a pattern of each mounted path
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


async def test_ten_thousand_random_requests(observe: Observe, monkeypatch: pytest.MonkeyPatch) -> None:
    """10,000 random paths, methods, hosts, ids and clients: a handful of series, and memory that does not grow."""
    monkeypatch.setattr(sys, "stdout", Sink())
    # What pytest itself keeps of each log record is not what is measured.
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    # What is remembered of a bounded number of paths and clients would go up and down meanwhile.
    monkeypatch.setattr(forms, "_REMEMBERED", 64, raising=False)
    app = application()
    observe(app, metrics={"context_labels": {"tenant": 20}})
    dice = random.Random(20)
    await flood(app, 4_000, dice)  # every series that there can be is there
    before = await samples(app, "")
    gc.collect()
    tracemalloc.start()
    try:
        levels = []
        for _ in range(3):
            await flood(app, 1_000, dice)
            levels.append(kept())
    finally:
        tracemalloc.stop()
    await flood(app, 3_000, dice)
    after = await samples(app, "")
    methods = {"GET", "POST", "HEAD", "_OTHER", "DELETE"}
    endpoints = {"unmatched", "/users/{user}", "/tenants/{tenant}/items/{item}", "/tenants/{tenant}/{path}"}
    counted = {
        tuple(text.split('"')[1::2]): value for text, value in after.items() if text.startswith("http_requests_t")
    }
    assert {key[0] for key in counted} <= methods
    assert {key[1] for key in counted} == endpoints
    assert {key[2] for key in counted} <= {"200", "307", "404", "405"}
    assert len({key[3] for key in counted}) == 22  # 20 tenants, none, and the rest
    assert sum(counted.values()) == 10_000
    assert len(after) == len(before)
    assert len(after) < 5_000
    # What a request keeps, each thousand keeps; a thread of an earlier test, or a table that grows, does so once.
    grown = min(later - earlier for earlier, later in itertools.pairwise(levels))
    assert grown < 40_000, f"1,000 more requests keep {grown:,} bytes"
