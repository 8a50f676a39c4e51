"""The Scholarship API as far as the library alone carries it: settings, read endpoints, two metrics and a check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel, Field

import belvedere
from belvedere import Check, Settings


def settings(environ: Mapping[str, str]) -> Settings:
    """Return the settings that the service makes of its variables."""
    given: dict[str, Any] = {}
    if "OTEL_ENDPOINT" in environ:
        given["tracing"] = {"endpoint": environ["OTEL_ENDPOINT"]}
    return Settings(
        service="scholarships",
        environment=environ.get("ENVIRONMENT", "local"),
        requests={"format": "hex"},
        logs={
            "format": "json",
            "level": environ.get("LOG_LEVEL", "INFO"),
            "keys": {"event": "message"},
            "client": None,
        },
        metrics={} if environ.get("ENABLE_METRICS", "true") == "true" else None,
        **given,
    )


class Search(BaseModel):
    query: str | None = None
    min_amount: int | None = None
    limit: int = Field(20, ge=1, le=100)
    offset: int = Field(0, ge=0)


TITLES = [f"Scholarship {number}" for number in range(1, 16)]


def build(environ: Mapping[str, str] | None = None) -> FastAPI:
    """Return the application; `app.state.down` takes its database away."""
    app = FastAPI(title="Scholarship Discovery & Search API", version="1.0.0")
    app.state.down = False
    log = belvedere.get_logger("scholarships.search")
    recorded = belvedere.counter("interactions_recorded_total", "Interactions recorded.", ["event_type"])
    queries = belvedere.histogram("database_query_duration_seconds", "Time of queries.", ["operation", "table"])

    async def ping() -> None:
        if app.state.down:
            raise ConnectionError("database is gone")

    @belvedere.track_time(queries, "SELECT", "scholarships")
    async def find(wanted: str = "") -> list[dict[str, Any]]:
        return [{"id": n, "title": title} for n, title in enumerate(TITLES, start=1) if wanted in title]

    @app.get("/")
    async def root() -> dict[str, Any]:
        recorded.labels("root_view").inc()
        links = {"docs": "/docs", "health": "/healthz", "ready": "/readyz", "metrics": "/metrics"}
        return {"name": app.title, "version": app.version, "status": "running", "links": links}

    @app.get("/scholarships")
    @belvedere.track_count(recorded, "list_scholarships")
    async def list_(limit: int = 20, offset: int = 0) -> dict[str, Any]:
        rows = await find()
        return {"items": rows[offset : offset + limit], "total": len(rows), "limit": limit, "offset": offset}

    @app.get("/scholarships/{id}")
    async def detail(id: int) -> dict[str, Any]:
        if id == 13:
            raise RuntimeError("bad luck")
        rows = [row for row in await find() if row["id"] == id]
        if not rows:
            raise HTTPException(404)
        return rows[0]

    @app.post("/search")
    async def search(search: Search) -> dict[str, Any]:
        rows = await find(search.query or "")
        log.info("searched", found=len(rows), token="t0p-s3cret", authorization="Bearer abc.def.ghi")
        items = [{**row, "score": 1.0} for row in rows[search.offset : search.offset + search.limit]]
        return {"items": items, "total": len(rows), "limit": search.limit, "offset": search.offset}

    @app.get("/auth/me")
    async def me(request: Request) -> dict[str, str]:
        belvedere.bind(user_id="student")
        return {"user": "student", "trace_id": request.state.trace_id, "request_id": request.state.request_id}

    belvedere.observe(app, Check("database", ping), settings=settings(environ or {}))
    return app
