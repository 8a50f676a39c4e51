"""Probes on the port of the metrics, as a worker serves nothing else."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import orjson

from belvedere.health import Health
from belvedere.metrics.scrapes import Reply, Scope, phrase, reply
from belvedere.settings import HealthSettings
from belvedere.wiring.worker.loop import SideLoop

_MARGIN = 5.0
"""Seconds beyond the time-out of checks, after which the loop that should answer is taken as stuck."""


def probe_handlers(
    health: Health, settings: HealthSettings, loop: SideLoop, ready: Callable[[], bool]
) -> dict[str, Callable[[Scope], Reply]]:
    """Return what answers on the port, by path.

    Args:
        health: has the probes.
        settings: of them.
        loop: where they run.
        ready: whether the worker takes tasks yet.
    """
    handlers = {path: _on_loop(app, loop, settings.timeout + _MARGIN) for path, app in health.served().items()}
    if settings.ready is not None:
        handlers[settings.ready] = _once_ready(handlers[settings.ready], ready)
    return handlers


def _on_loop(app: Any, loop: SideLoop, within: float) -> Callable[[Scope], Reply]:
    def handle(scope: Scope) -> Reply:
        sent: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        async def receive() -> dict[str, Any]:
            return {"type": "http.disconnect"}

        async def answer() -> bool:
            await app(scope, receive, send)
            return True

        if not loop.run(answer, within):
            return phrase(HTTPStatus.SERVICE_UNAVAILABLE)
        start, body = sent
        return Reply(start["status"], list(start["headers"]), body["body"])

    return handle


def _once_ready(handle: Callable[[Scope], Reply], ready: Callable[[], bool]) -> Callable[[Scope], Reply]:
    starting = orjson.dumps({"status": "not_ready", "checks": {}, "error": "Starting"})

    def handle_ready(scope: Scope) -> Reply:
        if ready():
            return handle(scope)
        return reply(HTTPStatus.SERVICE_UNAVAILABLE, starting, kind="application/json")

    return handle_ready
