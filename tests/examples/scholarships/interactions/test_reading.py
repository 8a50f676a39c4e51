"""Interactions: how they are read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import URL

from tests.examples.scholarships.identities import bearer
from tests.examples.scholarships.interactions.rows import cut_off

ADMIN, PARTNER, STUDENT = bearer("admin"), bearer("partner"), bearer("student")


async def recorded_of(client: httpx.AsyncClient, **params: Any) -> list[dict[str, Any]]:
    answer = await client.get("/interactions", params=params, headers=ADMIN)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_reading(app: FastAPI, client: httpx.AsyncClient) -> None:
    """An admin reads interactions by event, scholarship, user and time, the newest first."""
    before = datetime.now(UTC)
    answers = [await client.get(f"/scholarships/{number}", headers=PARTNER) for number in (11, 12, 11)]
    await client.get("/")
    assert await app.state.telemetry.interactions.flush(60)
    ids = [answer.headers["X-Request-ID"] for answer in answers]
    since = before.isoformat()
    newest = await recorded_of(client, event_type="view_scholarship", since=since)
    assert [item["trace_id"] for item in newest] == ids[::-1]
    first = newest[-1]
    assert datetime.fromisoformat(first.pop("created_at")) >= before
    assert first == {
        "id": first["id"],
        "event_id": first["event_id"],
        "event_type": "view_scholarship",
        "user_id": "partner",
        "scholarship_id": 11,
        "path": "/scholarships/11",
        "method": "GET",
        "status": 200,
        "trace_id": ids[0],
        "metadata": {},
    }
    assert [item["trace_id"] for item in await recorded_of(client, scholarship_id=11, since=since)] == [ids[2], ids[0]]
    assert len(await recorded_of(client, user_id="partner", since=since)) == 3
    assert await recorded_of(client, user_id="partner", until=since, since=since) == []
    assert await recorded_of(client, event_type="' OR 1=1 --") == []


async def test_pages(app: FastAPI, client: httpx.AsyncClient) -> None:
    """The pages have everything once, also while more is recorded."""
    for _ in range(5):
        await client.get("/scholarships/13")
    assert await app.state.telemetry.interactions.flush(60)
    found: list[int] = []
    after: dict[str, str] = {}
    while True:
        params = {"scholarship_id": "13", "limit": "2", **after}
        page = (await client.get("/interactions", params=params, headers=ADMIN)).json()
        found += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
        await client.get("/scholarships/13")
        assert await app.state.telemetry.interactions.flush(60)
    assert len(found) == len(set(found)) == 5


async def test_summary(app: FastAPI, client: httpx.AsyncClient) -> None:
    """Interactions are counted by event, answer and stretch of time."""
    since = datetime.now(UTC).isoformat()
    for number in (14, 14, 99998):
        await client.get(f"/scholarships/{number}", headers=STUDENT)
    await client.get("/")
    assert await app.state.telemetry.interactions.flush(60)
    answer = await client.get("/interactions/summary", params={"since": since}, headers=ADMIN)
    assert answer.status_code == 200
    counted = {item["event_type"]: item for item in answer.json()["items"]}
    assert counted.keys() == {"view_scholarship", "root_view"}
    views = counted["view_scholarship"]
    assert (views["count"], views["users"], views["start"]) == (3, 1, None)
    assert views["statuses"] == {"2xx": 2, "4xx": 1}
    assert since <= views["first"] <= views["last"]
    params: dict[str, str | int] = {"since": since, "bucket": "day", "scholarship_id": 14}
    days = (await client.get("/interactions/summary", params=params, headers=ADMIN)).json()["items"]
    assert sum(day["count"] for day in days) == 2  # of one day, but for a run around midnight
    assert {datetime.fromisoformat(day["start"]).time().isoformat() for day in days} == {"00:00:00"}


@pytest.mark.parametrize("path", ["/interactions", "/interactions/summary"])
async def test_who(client: httpx.AsyncClient, path: str) -> None:
    """Nobody but an admin reads what others did, and nobody else is told which parameters there are."""
    for headers, status in (({}, 401), (STUDENT, 403), (PARTNER, 403)):
        assert (await client.get(path, params={"limit": 0}, headers=headers)).status_code == status


@pytest.mark.parametrize(
    ("path", "params", "place"),
    [
        ("", {"limit": 0}, "limit"),
        ("", {"limit": 1001}, "limit"),
        ("", {"scholarship_id": "x"}, "scholarship_id"),
        ("", {"scholarship_id": 2**31}, "scholarship_id"),
        ("", {"event": "root_view"}, "event"),
        ("", {"since": "yesterday"}, "since"),
        ("", {"since": "0.5"}, "since"),
        ("", {"since": "0001-01-01T00:00:00+14:00"}, "since"),
        ("", {"since": "2027-01-02", "until": "2027-01-01"}, "until"),
        ("/summary", {"bucket": "year"}, "bucket"),
        ("/summary", {"limit": 1}, "limit"),
    ],
)
async def test_invalid(client: httpx.AsyncClient, path: str, params: dict[str, Any], place: str) -> None:
    """What is no filter is refused, with its place."""
    answer = await client.get(f"/interactions{path}", params=params, headers=ADMIN)
    assert answer.status_code == 422, answer.text
    assert [problem["loc"] for problem in answer.json()["details"]] == [["query", place]]


@pytest.mark.parametrize("after", ["nonsense", "MS4x\0", "9" * 200])
async def test_no_page(client: httpx.AsyncClient, after: str) -> None:
    """A place that no page has is a 404."""
    answer = await client.get("/interactions", params={"after": after}, headers=ADMIN)
    assert answer.status_code == 404
    assert answer.json()["message"] == "There is no such page: after takes the next of another"


async def test_away(written_url: URL) -> None:
    """While the database is away, interactions cannot be read, which is a 503."""
    if written_url.get_backend_name() == "sqlite":
        pytest.skip("a file does not go away")
    async with cut_off(written_url) as (database, _app, client):
        await database.down()
        for path in ("/interactions", "/interactions/summary"):
            answer = await client.get(path, headers=ADMIN)
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        await database.up()
