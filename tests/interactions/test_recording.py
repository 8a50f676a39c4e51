"""What is recorded: one row for each request that a marked route answered, whatever the answer."""

from __future__ import annotations

from fastapi import FastAPI, HTTPException
from sqlalchemy.ext.asyncio import AsyncEngine

import belvedere
from belvedere import Interactions
from tests.drive import ask, observed, running
from tests.interactions.conftest import rows


async def test_a_request_becomes_a_row(engine: AsyncEngine) -> None:
    """Found, not found and not understood: each is a row with its status, subject, user and query."""
    interactions = Interactions(engine, subject="scholarship_id", subject_type=int)
    app = FastAPI()

    @app.get("/scholarships/{id}", dependencies=[interactions.record("view_scholarship", subject="id")])
    async def view(id: int) -> dict[str, int]:
        belvedere.bind(user_id="u1")
        if id == 0:
            raise HTTPException(404)
        return {"id": id}

    await interactions.create_table()
    with observed(app, interactions) as obs:
        async with running(app):
            answer = await ask(app, path="/scholarships/7", query=b"a=1&a=2&password=x")
            await ask(app, path="/scholarships/0")
            await ask(app, path="/scholarships/x")
            await ask(app, "POST", path="/scholarships/1")
            found = await rows(interactions)
            assert obs.report()["interactions"]["state"] == "on"
    assert [(row["scholarship_id"], row["status"]) for row in found] == [(7, 200), (0, 404), (None, 422)]
    assert found[0]["trace_id"] == answer.id.replace("-", "")
    assert found[0]["metadata"] == {"a": ["1", "2"], "password": "[redacted]"}
