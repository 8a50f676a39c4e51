"""The social video backend: full payloads, many metrics, checks that tell details."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

from fastapi import FastAPI

import belvedere
from belvedere import Check, Settings

SETTINGS: dict[str, Any] = {
    "service": "social-flow-backend",
    "environment": "production",
    "logs": {
        "format": "json",
        "keys": {"service": "app"},
        "quiet": {"boto3": "warning", "botocore": "warning", "sqlalchemy": "warning"},
        "allow": ["email", "ip_address"],
    },
    "metrics": {"labels": {"status": "status_code"}},
    "health": {
        "basic": "/api/v1/health/",
        "live": "/api/v1/health/live",
        "ready": "/api/v1/health/ready",
        "detailed": "/api/v1/health/detailed",
        "startup": "/api/v1/health/startup",
        "payload": "full",
    },
}

DETAILS: dict[str, dict[str, Any]] = {
    "database": {"pool_size": 20, "connections_in_use": 5},
    "redis": {"connected_clients": 10, "used_memory_human": "50M"},
    "celery": {"worker_count": 2, "active_tasks": 3, "workers": ["celery@a", "celery@b"]},
    "s3": {"bucket": "videos", "region": "eu-central-1"},
    "ml_models": {"loaded_models": ["moderation", "tags"], "model_count": 2},
    "migrations": {},
}


def metrics() -> SimpleNamespace:
    """Declare the metrics of the contract, beside those of HTTP."""
    counter, gauge, histogram = belvedere.counter, belvedere.gauge, belvedere.histogram
    operation = ["operation", "table"]
    return SimpleNamespace(
        queries=counter("database_queries_total", "Queries.", operation),
        query_seconds=histogram("database_query_duration_seconds", "Time of queries.", operation),
        slow_queries=counter("database_slow_queries_total", "Slow queries.", operation),
        connections_active=gauge("database_connections_active", "Connections in use."),
        connections_idle=gauge("database_connections_idle", "Connections not in use."),
        redis_operations=counter("redis_operations_total", "Operations.", ["operation"]),
        redis_seconds=histogram("redis_operation_duration_seconds", "Time of operations.", ["operation"]),
        cache_hits=counter("redis_cache_hits_total", "Hits.", ["cache"]),
        cache_misses=counter("redis_cache_misses_total", "Misses.", ["cache"]),
        tasks=counter("celery_tasks_total", "Tasks.", ["task_name", "status"]),
        task_seconds=histogram("celery_task_duration_seconds", "Time of tasks.", ["task_name"]),
        queue_length=gauge("celery_queue_length", "Tasks waiting.", ["queue"]),
        workers=gauge("celery_workers_active", "Workers.", ["queue"]),
        predictions=counter("ml_predictions_total", "Predictions.", ["model", "status"]),
        prediction_seconds=histogram("ml_prediction_duration_seconds", "Time of predictions.", ["model"]),
        ml_cache_hit_rate=gauge("ml_cache_hit_rate", "Share of hits.", ["model"]),
        users_registered=counter("users_registered_total", "Users registered."),
        users_active=gauge("users_active", "Users active."),
        videos_uploaded=counter("videos_uploaded_total", "Videos uploaded."),
        videos=gauge("videos_total", "Videos that there are.", ["status"]),
        posts=counter("posts_created_total", "Posts."),
        comments=counter("comments_created_total", "Comments."),
        streams=gauge("live_streams_active", "Live streams."),
        payments=counter("payments_total", "Payments.", ["type", "status"]),
        revenue=gauge("revenue_total_usd", "Revenue in US dollars.", ["type"]),
    )


def build(lifespan: Any = None) -> FastAPI:
    """Return the application; `app.state.down` holds the names of dependencies that are away."""
    app = FastAPI(title="Social Flow", version="2.1.0", lifespan=lifespan)
    app.state.down = set()
    app.state.metrics = shown = metrics()
    log = belvedere.get_logger("app.api.users")

    def check(name: str, **options: Any) -> Check:
        async def ask() -> dict[str, Any]:
            if name in app.state.down:
                raise ConnectionError(f"{name}://flow:s3cret@{name}")
            return DETAILS[name]

        return Check(name, ask, **options)

    @app.post("/api/v1/users", status_code=201)
    @belvedere.track_count(shown.users_registered)
    @belvedere.track_time(shown.query_seconds, "INSERT", "users")
    async def register() -> dict[str, str]:
        log.info("user_registered", email="ada@example.org", ip_address="192.0.2.7", password="s3cret")
        with belvedere.LogContext(user_id="u-1", operation="upload"):
            await asyncio.gather(asyncio.create_task(work("a")), asyncio.to_thread(sync_work))
        log.info("outside")
        return {"id": "u-1"}

    async def work(name: str) -> None:
        await asyncio.sleep(0)
        log.info("inside", name=name)

    @belvedere.track_time(shown.redis_seconds, "get")
    def sync_work() -> None:
        logging.getLogger("app.worker").info("in a thread")
        logging.getLogger("botocore.hooks").info("not heard")
        logging.getLogger("sqlalchemy.engine").warning("heard")

    additional = {"critical": False, "probes": ["detailed"]}
    belvedere.observe(
        app,
        check("database"),
        check("redis"),
        *(check(name, **additional) for name in ("celery", "s3", "ml_models")),
        check("migrations", probes=["startup"]),
        settings=Settings(**SETTINGS),
    )
    return app
