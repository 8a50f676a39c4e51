"""An application of Celery, whose broker is Redis."""

from __future__ import annotations

import asyncio
from typing import Any

import celery
import celery.signals
import pytest

from belvedere import conventions, integrations
from tests.integrations.subjects._redis import behind_relay
from tests.integrations.subjects.subject import READY, Relays, Subject


async def celery_redis(request: pytest.FixtureRequest, relays: Relays) -> Subject:
    relay, url = await behind_relay(request.getfixturevalue("celery_worker"), relays)
    app = celery.Celery("conformance", broker=url, set_as_current=False)
    app.conf.task_publish_retry = False
    app.conf.broker_transport_options = {"socket_timeout": 1.0, "socket_connect_timeout": 1.0}

    def look() -> None:
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)

    task: Any = app.task(look, name="conformance.look", shared=False)

    async def use() -> None:
        # What is run here is seen here, and asks the broker.
        await asyncio.to_thread(lambda: task.apply().get())

    async def close() -> None:
        app.close()

    return Subject(
        extra="belvedere[celery]",
        module="celery",
        absent="integrations.celery(None)",
        part=lambda **options: integrations.celery(app, **{**READY, **options}),
        use=use,
        close=close,
        metrics=conventions.CELERY_METRICS,
        hooks=lambda: (vars(app).get("send_task"), [list(signal.receivers) for signal in _SIGNALS]),
        relay=relay,
        details={"worker_count", "active_tasks", "workers"},
    )


_SIGNALS = [
    celery.signals.before_task_publish,
    celery.signals.task_received,
    celery.signals.task_prerun,
    celery.signals.task_postrun,
    celery.signals.task_failure,
    celery.signals.task_revoked,
]
