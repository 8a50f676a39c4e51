"""`observe` on a Celery application, before any worker runs it: parts, report, and the way back."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, signals
from celery.apps import worker as celery_worker
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import create_async_engine

import belvedere
from belvedere import SLO, Check, Interactions, RateLimiter, Settings, SettingsError
from belvedere.conventions import CELERY_METRICS
from tests.process import fresh_process

SIGNALS = [value for value in vars(signals).values() if isinstance(value, signals.Signal)]


@pytest.fixture(autouse=True)
def _own_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with fresh_process(monkeypatch):
        yield


@pytest.fixture
def app() -> Iterator[Celery]:
    made = Celery("shop", broker="memory://", set_as_current=False)
    yield made
    made.close()


def left(app: Celery) -> Any:
    """Return what is installed in Celery and in logging now."""
    root = logging.getLogger()
    return (
        [list(signal.receivers) for signal in SIGNALS],
        set(app.steps["worker"]),
        vars(app).get("send_task"),
        vars(celery_worker)["safe_say"],
        [*root.handlers],
        root.level,
        [list(logging.getLogger(name).filters) for name in ("celery.app.trace", "celery.worker.strategy")],
    )


def test_once_and_away(app: Celery) -> None:
    """A second call returns the same object and adds its parts; `remove()` leaves Celery and logging as they were."""
    before = left(app)
    obs = belvedere.observe(app, settings=Settings(logs={"format": "json"}))
    assert isinstance(obs, belvedere.Observability)
    assert belvedere.observe(app, Check("database", lambda: True)) is obs
    assert [check["name"] for check in obs.catalogue()["checks"]] == ["database"]
    assert obs.settings.service == "shop"
    assert left(app) != before
    obs.remove()
    assert left(app) == before
    again = belvedere.observe(app)
    assert again is not obs
    again.remove()
    assert left(app) == before


def test_report_and_catalogue(app: Celery) -> None:
    """They tell what a worker has: nothing about requests; probes and metrics on the port, and without it why not."""
    obs = belvedere.observe(app)
    report = obs.report()
    assert {name: row["state"] for name, row in report.items()} == {
        "tasks": "on",
        "logs": "on",
        "metrics": "off",
        "health": "off",
        "headers": "off",
        "tracing": "off",
    }
    assert report["metrics"]["why"] == "a worker serves them on a port of its own: metrics.port is not set"
    obs.remove()
    obs = belvedere.observe(app, settings=Settings(metrics={"port": 0}))
    assert obs.report()["health"] == {"state": "on", "why": "live /healthz, ready /readyz"}
    catalogue = obs.catalogue()
    names = {metric["name"] for metric in catalogue["metrics"]}
    assert {metric.name for metric in CELERY_METRICS[:3]} <= names
    assert not [name for name in names if name.startswith("http_")]
    assert (catalogue["routes"], catalogue["slos"]) == ([], [])
    json.dumps(catalogue)
    obs.remove()


@pytest.mark.parametrize(
    ("part", "name"),
    [
        (lambda folder: RateLimiter(), "RateLimiter"),
        (lambda folder: SLO("search", objective=99.5), r"SLO\('search'\)"),
        (
            lambda folder: Interactions(create_async_engine("sqlite+aiosqlite://"), journal=folder),
            "Interactions",
        ),
    ],
)
def test_parts_about_requests_are_refused(app: Celery, part: Callable[[Path], Any], name: str, tmp_path: Path) -> None:
    """What is about requests is refused by name, and nothing is left of the attempt; an observer hears of nothing."""
    before = left(app)
    with pytest.raises(TypeError, match=f"{name} is about HTTP requests, and a Celery worker has none"):
        belvedere.observe(app, part(tmp_path))
    assert left(app) == before
    obs = belvedere.observe(app)
    with pytest.raises(TypeError, match="no part"):
        obs.add(object())  # type: ignore[arg-type]
    obs.remove()


def test_beside_a_web_application(app: Celery) -> None:
    """One process may observe both, in any order, and let go of either: what is left of a task is told once."""
    web = FastAPI()
    told: list[str] = []

    def work() -> str | None:
        told.append("ran")
        return belvedere.request_id()

    task: Any = app.task(work, name="shop.work", shared=False)
    app.conf.task_always_eager = True
    settings = Settings(logs={"format": "json"})
    worker = belvedere.observe(app, settings=settings)
    both = belvedere.observe(web, belvedere.integrations.celery(app), settings=settings)
    assert len(task.delay().get()) == 36
    for obs in (worker, both):
        assert obs._metrics is not None
        assert 'celery_tasks_total{task_name="shop.work",status="success"} 1.0' in obs._metrics.text().decode()
    worker.remove()
    assert len(task.delay().get()) == 36
    assert both._metrics is not None
    assert 'celery_tasks_total{task_name="shop.work",status="success"} 2.0' in both._metrics.text().decode()
    both.remove()
    assert task.delay().get() is None


def test_wrong_settings(app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are told in the one message, and nothing is installed."""
    monkeypatch.setenv("BELVEDERE_METRICS__PORT", "many")
    before = left(app)
    with pytest.raises(SettingsError, match=r"metrics\.port \(BELVEDERE_METRICS__PORT\)"):
        belvedere.observe(app)
    assert left(app) == before
