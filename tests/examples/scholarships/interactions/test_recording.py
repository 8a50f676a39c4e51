"""Interactions: what is recorded of each call."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import patch

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from sqlalchemy import URL

from scholarships.config import Config
from scholarships.repository import Scholarships
from scholarships.services.interaction_service import log_interaction
from tests.drive import Exchange
from tests.examples.scholarships.databases import PASSWORD
from tests.examples.scholarships.identities import FREELY, bearer
from tests.examples.scholarships.interactions.rows import cut_off, row, row_of, rows_of
from tests.examples.scholarships.serving import calling, served
from tests.examples.scholarships.test_writing import DRAFT

ADMIN, PARTNER, STUDENT = bearer("admin"), bearer("partner"), bearer("student")


async def test_interaction_logged_on_list(app: FastAPI, client: httpx.AsyncClient) -> None:
    """A list is recorded with its parameters, and without what is personal in them."""
    answer = await client.get("/scholarships?limit=2&country=Norway&email=ann@example.org&token=hidden-1")
    assert answer.status_code == 200
    recorded = await row_of(app, answer)
    assert recorded.pop("metadata") == {
        "limit": "2",
        "country": "Norway",
        "email": "[redacted]",
        "token": "[redacted]",
    }
    assert recorded == {k: v for k, v in row("list_scholarships", "GET", "/scholarships").items() if k != "metadata"}


async def test_interaction_logged_on_detail(app: FastAPI, client: httpx.AsyncClient) -> None:
    """A scholarship that is read is recorded with its number and whoever is signed in; one that is not there, too."""
    for number, who, user in ((1, {}, None), (1, STUDENT, "student"), (99999, PARTNER, "partner")):
        answer = await client.get(f"/scholarships/{number}", headers=who)
        expected = row("view_scholarship", "GET", f"/scholarships/{number}", user_id=user, scholarship_id=number)
        assert await row_of(app, answer) == expected


async def test_whatever_is_answered_is_recorded_with_its_number(app: FastAPI, client: httpx.AsyncClient) -> None:
    """However FastAPI lets the number be written, the row has that of the scholarship that was answered."""
    answered = 0
    for written in ("1.0", "2.000", "+1", "01", "1_0", "%203", "4%20", "%EF%BC%91", "1.5", "1.", "1e0", "0x1", "1%00"):
        answer = await client.get(f"/scholarships/{written}")
        (recorded,) = await rows_of(app, answer.headers["X-Request-ID"])
        if answer.status_code == 200:
            answered += 1
            assert recorded["scholarship_id"] == answer.json()["id"], written
        else:
            assert answer.status_code == 422, written
    assert answered >= 4
    answer = await client.patch("/scholarships/1.0", json={"amount": 1}, headers=PARTNER)
    (recorded,) = await rows_of(app, answer.headers["X-Request-ID"])
    assert (answer.status_code, recorded["scholarship_id"]) == (403, 1)


async def test_interaction_logged_on_search_with_filters(app: FastAPI, client: httpx.AsyncClient) -> None:
    """A search is recorded with the filters that were given, and without what is personal in its words."""
    filters = {"query": "climate ann@example.org", "min_amount": 10000, "deadline_after": "2027-01-01", "limit": 5}
    answer = await client.post("/search", json=filters)
    assert answer.status_code == 200
    recorded = await row_of(app, answer)
    metadata = recorded["metadata"]
    assert "ann@example.org" not in str(metadata)
    assert metadata.pop("query").startswith("climate ")
    assert metadata == {"min_amount": 10000, "deadline_after": "2027-01-01", "limit": 5}
    assert recorded == row("search_scholarships", "POST", "/search", metadata=metadata)


async def test_interaction_logging_does_not_break_on_error(written_url: URL) -> None:
    """With the database down every call is answered, and once it is back each has exactly one row."""
    async with cut_off(written_url) as (database, app, client):
        await database.down()
        answers = await asyncio.gather(
            *(client.get(path) for path in ("/", "/scholarships?limit=1", "/scholarships/1", "/scholarships/x")),
            client.post("/search", content=b"{"),
        )
        statuses = [answer.status_code for answer in answers]
        assert statuses[0] == 200
        assert set(statuses[1:3]) <= {200, 503}  # a file that is locked can be read
        assert statuses[3:] == [422, 422]
        await database.up()
        async with asyncio.timeout(120):
            while not await app.state.telemetry.interactions.flush(1):
                pass
        for answer in answers:
            await row_of(app, answer)


JSON = {"Content-Type": "application/json"}
RIGHT, WRONG = {"username": "student", "password": PASSWORD}, {"username": "student", "password": "hidden-1"}
SEARCH, LOGIN, CREATE = (
    row(event, "POST", path)
    for event, path in (
        ("search_scholarships", "/search"),
        ("login", "/auth/token"),
        ("create_scholarship", "/scholarships"),
    )
)
CASES: list[tuple[dict[str, Any], dict[str, Any], int, dict[str, Any]]] = [
    (row("root_view", "GET", "/"), {}, 200, {}),
    (row("root_view", "GET", "/"), {"headers": {"Authorization": "Bearer x"}}, 200, {}),
    (row("list_scholarships", "GET", "/scholarships"), {"params": {"limit": 0}}, 422, {"metadata": {"limit": "0"}}),
    (row("view_scholarship", "GET", "/scholarships/x"), {"headers": STUDENT}, 422, {"user_id": "student"}),
    (SEARCH, {"content": b"{", "headers": STUDENT | JSON}, 422, {"user_id": "student"}),
    (SEARCH, {"content": b" " * 99_999, "headers": JSON}, 413, {}),
    (LOGIN, {"data": RIGHT}, 200, {"user_id": "student"}),
    (LOGIN, {"data": WRONG}, 401, {}),
    (LOGIN, {"data": {"password": "hidden-1"}}, 422, {}),
    (CREATE, {"json": DRAFT}, 401, {}),
    (CREATE, {"json": DRAFT, "headers": STUDENT}, 403, {"user_id": "student"}),
    (CREATE, {"json": {}, "headers": PARTNER}, 422, {"user_id": "partner"}),
    (
        row("update_scholarship", "PATCH", "/scholarships/1"),
        {"json": {"amount": 1}, "headers": PARTNER},
        403,
        {"user_id": "partner", "scholarship_id": 1},
    ),
    (
        row("delete_scholarship", "DELETE", "/scholarships/99999"),
        {"headers": ADMIN},
        404,
        {"user_id": "admin", "scholarship_id": 99999},
    ),
]


@pytest.mark.parametrize("case", range(len(CASES)))
async def test_each(app: FastAPI, client: httpx.AsyncClient, case: int) -> None:
    """Each call is recorded, whatever the answer, and with no secret."""
    expected, options, status, more = CASES[case]
    answer = await client.request(expected["method"], expected["path"], **options)
    assert answer.status_code == status, answer.text
    assert await row_of(app, answer) == expected | more


async def test_writes(app: FastAPI, client: httpx.AsyncClient) -> None:
    """What is made, changed and deleted is recorded with its number, also where the path does not have it."""
    made = await client.post("/scholarships", json=DRAFT, headers=PARTNER)
    path = made.headers["Location"]
    changed = await client.patch(path, json={"amount": 1}, headers=PARTNER)
    deleted = await client.delete(path, headers=PARTNER)
    same = {"user_id": "partner", "scholarship_id": made.json()["id"]}
    assert await row_of(app, made) == row("create_scholarship", "POST", "/scholarships", **same)
    assert await row_of(app, changed) == row("update_scholarship", "PATCH", path, **same)
    assert await row_of(app, deleted) == row("delete_scholarship", "DELETE", path, **same)


async def test_limited(written_url: URL) -> None:
    """A call that was too much is recorded as one."""
    rates = {"rate_limits": {"search": "1/hour"}}
    async with served(Config(database_url=written_url, **(FREELY | rates))) as app, calling(app) as client:
        await client.post("/search", json={})
        answer = await client.post("/search", json={"query": "never read"})
        assert answer.status_code == 429
        assert await row_of(app, answer) == row("search_scholarships", "POST", "/search")


async def test_failed(app: FastAPI) -> None:
    """A call that fails is recorded as a 500."""
    with patch.object(Scholarships, "get", side_effect=RuntimeError("broken")):
        async with calling(app, raise_app_exceptions=False) as client:
            answer = await client.get("/scholarships/1")
    assert answer.status_code == 500
    assert await row_of(app, answer) == row("view_scholarship", "GET", "/scholarships/1", scholarship_id=1)


async def test_left(app: FastAPI) -> None:
    """A caller who left before the answer is a 499."""
    asked, go = asyncio.Event(), asyncio.Event()

    async def slow(_self: Scholarships, _number: int) -> None:
        asked.set()
        await go.wait()

    header = [(b"x-request-id", b"left-early")]
    with patch.object(Scholarships, "get", slow):
        exchange = Exchange(app, "GET", "/scholarships/1", headers=header, gone_raises=True)
        task = exchange.start()
        await asked.wait()
        exchange.disconnect()
        go.set()
        await task
    (found,) = await rows_of(app, "left-early")
    assert (found["event_type"], found["status"]) == ("view_scholarship", 499)


@pytest.mark.parametrize(
    "path", ["/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", "/auth/me", "/interactions", "/nowhere"]
)
async def test_not_recorded(app: FastAPI, client: httpx.AsyncClient, path: str) -> None:
    """What is no interaction leaves no row."""
    answer = await client.get(path, headers=ADMIN)
    assert await rows_of(app, answer.headers["X-Request-ID"]) == []


async def test_counted(app: FastAPI, client: httpx.AsyncClient) -> None:
    """Interactions are counted by event."""
    name = 'interactions_recorded_total{event_type="root_view"} '

    async def count() -> float:
        lines = (await client.get("/metrics")).text.splitlines()
        return next((float(line.removeprefix(name)) for line in lines if line.startswith(name)), 0.0)

    before = await count()
    await client.get("/")
    assert await count() == before + 1


async def test_by_hand(app: FastAPI) -> None:
    """What no route is marked with can be recorded by hand; what is secret is taken out, and nothing is raised."""

    @app.get("/export")
    async def export(request: Request) -> dict[str, str]:
        await log_interaction("export", request, Response(status_code=202))
        await log_interaction(
            "export",
            request,
            Response(),
            user_id="somebody",
            scholarship_id=7,
            metadata={"format": "csv", "password": "hidden-1"},
            trace_id="by-hand",
        )
        await log_interaction("export", None, None)  # type: ignore[arg-type]
        await log_interaction("", request, object(), metadata=object())  # type: ignore[arg-type]
        return {}

    async with calling(app) as client:
        answer = await client.get("/export", headers=STUDENT)
    assert answer.status_code == 200
    (found,) = await rows_of(app, answer.headers["X-Request-ID"])
    assert (found["event_type"], found["status"], found["user_id"]) == ("export", 202, "student")
    assert (found["path"], found["method"], found["scholarship_id"]) == ("/export", "GET", None)
    (found,) = await rows_of(app, "by-hand")
    assert (found["status"], found["user_id"], found["scholarship_id"]) == (200, "somebody", 7)
    assert found["metadata"] == {"format": "csv", "password": "[redacted]"}
