"""The project backend: requests that belong to a project."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

import belvedere
from belvedere import Settings

SETTINGS: dict[str, Any] = {
    "service": "projects",
    "requests": {
        "header": "X-Request-Id",
        "bind": {"project_id": ["path:project_id", "header:X-Project-Id"]},
    },
    "logs": {"format": "json", "keys": {"event": "message"}},
    "metrics": {
        "names": {
            "http_requests_total": ["request_count", "response_status_count"],
            "http_request_duration_seconds": "request_duration_seconds",
        },
        "duration_status": True,
        "constant_labels": {"service": "projects"},
        "context_labels": {"project_id": 100},
    },
}


def build() -> FastAPI:
    app = FastAPI(title="Projects")
    log = belvedere.get_logger("app.main")

    @app.get("/projects/{project_id}/tasks")
    async def tasks(project_id: str) -> list[str]:
        log.info("tasks_listed", count=0)
        return []

    @app.get("/tasks")
    async def all_tasks() -> list[str]:
        return []

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError

    belvedere.observe(app, settings=Settings(**SETTINGS))
    return app
