"""Belvedere by default with an interaction recorded for each request, which stays in its journal or goes to SQLite."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path

from fastapi import APIRouter, FastAPI
from sqlalchemy.ext.asyncio import create_async_engine

import belvedere
from belvedere import Interactions, Settings
from belvedere.interactions import delivery
from benchmarks.application import Scholarship
from benchmarks.variants import ASGIApp


def build(how: str = "") -> ASGIApp:
    """The benchmark's application with its endpoint marked, observed as by default, with the part.

    Args:
        how: "delivered": events go on to the database while it is measured; else they stay in the journal, and only
            what the request itself pays is measured. "unmarked": the part is there, and no route records.
    """
    if how != "delivered":
        delivery.GATHER = delivery.TICK = 3600.0  # type: ignore[misc]
    folder = Path(tempfile.mkdtemp(prefix="belvedere-benchmark-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    engine = create_async_engine(f"sqlite+aiosqlite:///{folder}/benchmark.db")
    interactions = Interactions(engine, subject="scholarship_id", subject_type=int, journal=folder / "journal")
    router = APIRouter(prefix="/scholarships")

    @router.get("")
    async def list_scholarships() -> list[Scholarship]:
        return []

    mark = interactions.record("view_scholarship", subject="scholarship_id")

    @router.get("/{scholarship_id}", dependencies=[] if how == "unmarked" else [mark])
    async def read_scholarship(scholarship_id: int) -> Scholarship:
        return Scholarship(id=scholarship_id, title="Chevening", country="United Kingdom", amount=18000.0)

    app = FastAPI(title="Benchmark", version="1.0.0")
    app.include_router(router, prefix="/api/v1")
    app.router.add_event_handler("startup", interactions.create_table)
    belvedere.observe(app, interactions, settings=Settings(environment="production"))
    return app
