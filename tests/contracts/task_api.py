"""The application that `task-api` specifies, by hand: settings, routes, three metrics and a check."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

import belvedere
from belvedere import Check, Settings

SETTINGS: dict[str, Any] = {
    "service": "task-api",
    "version": "1.0.0",
    "environment": "development",
    "requests": {"exclude": []},
    "logs": {"format": "json"},
    "metrics": {"path": "/metrics/metrics"},
    "health": {"live": "/health/health", "ready": "/health/ready", "live_fields": ["service"]},
}


class Task(BaseModel):
    title: str = Field(min_length=1, max_length=20)


def build(tasks: dict[int, str] | None = None, **more: Any) -> FastAPI:
    """Return the application over `tasks`, its database; `app.state.down` takes that away."""
    app = FastAPI(title="Task API", version="1.0.0")
    rows = {} if tasks is None else tasks
    app.state.down = False

    async def count() -> float:
        return len(rows)

    def ping() -> None:
        if app.state.down:
            raise ConnectionError("postgresql://tasks:s3cret@db/tasks")

    created = belvedere.counter("task_created_total", "Tasks created.")
    deleted = belvedere.counter("task_deleted_total", "Tasks deleted.")
    belvedere.gauge("task_active_count", "Tasks that there are.", read=count)

    @app.get("/")
    async def root() -> dict[str, str]:
        return {
            "name": "task-api",
            "version": "1.0.0",
            "status": "running",
            "docs": "/docs",
            "health": "/health/health",
            "ready": "/health/ready",
            "metrics": "/metrics/metrics",
        }

    @app.post("/api/v1/tasks", status_code=HTTPStatus.CREATED)
    async def create(task: Task) -> dict[str, Any]:
        number = max(rows, default=0) + 1
        rows[number] = task.title
        created.inc()
        belvedere.bind(user_id="u-1")
        belvedere.get_logger("src.api.routes.tasks").info("task_created", task_id=number)
        return {"id": number, "title": task.title}

    @app.get("/api/v1/tasks")
    async def list_() -> list[dict[str, Any]]:
        return [{"id": number, "title": title} for number, title in rows.items()]

    @app.get("/api/v1/tasks/{task_id}")
    async def read(task_id: int) -> dict[str, Any]:
        if task_id == 13:
            raise RuntimeError("no such luck")
        if task_id not in rows:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return {"id": task_id, "title": rows[task_id]}

    @app.put("/api/v1/tasks/{task_id}")
    async def update(task_id: int, task: Task) -> dict[str, Any]:
        rows[task_id] = task.title
        return {"id": task_id, "title": task.title}

    @app.delete("/api/v1/tasks/{task_id}", status_code=HTTPStatus.NO_CONTENT, response_model=None)
    async def delete(task_id: int) -> None:
        del rows[task_id]
        deleted.inc()

    database = Check("database", ping, message="Database connection failed")
    belvedere.observe(app, database, settings=Settings(**{**SETTINGS, **more}))
    return app
