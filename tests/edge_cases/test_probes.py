"""Probes in a whole application: they answer when nothing else does, and yield to its own routes."""

from __future__ import annotations

import threading
from typing import Any

import anyio.to_thread
import pytest
from fastapi import Depends, FastAPI, HTTPException

from tests.drive import Exchange, ask, requests
from tests.edge_cases.conftest import Lines, Observe


async def test_liveness_answers_with_the_thread_pool_full(observe: Observe) -> None:
    """With every thread of the pool for sync endpoints taken, the probes answer at once."""
    app = FastAPI()
    leave = threading.Event()
    entered = threading.Semaphore(0)

    @app.get("/slow")
    def slow() -> None:
        entered.release()
        leave.wait(60)

    observe(app)
    threads = int(anyio.to_thread.current_default_thread_limiter().total_tokens)
    tasks = [Exchange(app, path="/slow").start() for _ in range(threads + 1)]
    try:
        # Not in a thread of that pool, of which there is none left to wait in.
        await anyio.to_thread.run_sync(
            lambda: [entered.acquire() for _ in range(threads)], limiter=anyio.CapacityLimiter(1)
        )
        assert (await ask(app, path="/healthz")).json() == {"status": "ok"}
        assert (await ask(app, path="/readyz")).json() == {"status": "ready", "checks": {}}
        assert (await ask(app, path="/metrics")).status == 200
    finally:
        leave.set()
        for task in tasks:
            await task


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
@pytest.mark.parametrize(("root_path", "prefix"), [("", ""), ("/shop", ""), ("/shop", "/shop")])
async def test_no_authentication_refuses_a_probe(
    observe: Observe, lines: Lines, *, path: str, root_path: str, prefix: str
) -> None:
    """Below `root_path`, kept in the path or not, probes answer before any middleware, and leave nothing."""

    async def refuse() -> None:
        raise HTTPException(401)

    class Refuses:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            raise PermissionError

    app = FastAPI(dependencies=[Depends(refuse)])
    app.add_middleware(Refuses)
    observe(app)
    answer = await ask(app, path=prefix + path, root_path=root_path)
    assert answer.status == 200
    assert answer.all("cache-control") == ["no-store"]
    assert lines() == []
    assert await requests(app) == {}


async def test_a_route_of_the_applications_own_comes_first(observe: Observe) -> None:
    """Where the application has a route at a probe's path, that one answers, and the report says so."""
    app = FastAPI()
    app.get("/healthz")(lambda: "mine")
    obs = observe(app)
    assert (await ask(app, path="/healthz")).json() == "mine"
    assert obs.report()["health"]["why"] == "ready /readyz; the application has routes of its own at /healthz"
