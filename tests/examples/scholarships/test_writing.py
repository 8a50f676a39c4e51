"""`POST /scholarships`, `PATCH` and `DELETE /scholarships/{number}`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import URL

from scholarships.config import Config
from scholarships.schemas import Role
from tests.examples.scholarships.identities import FREELY, bearer
from tests.examples.scholarships.serving import calling, served

DRAFT: dict[str, Any] = {
    "title": "Tidal Energy Fellowship",
    "provider": "Harbour Foundation",
    "description": "Supports research on turbines, with a season at sea.",
    "amount": 18000,
    "deadline": "2027-09-30",
    "field_of_study": "Engineering",
    "level": "doctoral",
    "country": "Ireland",
    "min_gpa": 3.1,
    "url": "https://harbour-foundation.example/tidal-energy?year=2027#apply",
}
ADMIN, PARTNER, STUDENT = bearer("admin"), bearer("partner"), bearer("student")
OTHER = bearer("other-partner", Role.PARTNER)


@pytest_asyncio.fixture
async def client(written_url: URL) -> AsyncIterator[httpx.AsyncClient]:
    """What calls a service that may be written to, as often as one likes."""
    async with served(Config(database_url=written_url, **FREELY)) as app, calling(app) as client:
        yield client


async def make(client: httpx.AsyncClient, who: dict[str, str] = PARTNER, **changed: Any) -> int:
    answer = await client.post("/scholarships", json=DRAFT | changed, headers=who)
    assert answer.status_code == 201, answer.text
    number: int = answer.json()["id"]
    return number


async def found(client: httpx.AsyncClient, query: str) -> list[int]:
    answer = await client.post("/search", json={"query": query})
    return [item["id"] for item in answer.json()["items"]]


@pytest.mark.parametrize("who", [ADMIN, PARTNER])
async def test_create(client: httpx.AsyncClient, who: dict[str, str]) -> None:
    """A new scholarship has a number of its own, and is where `Location` says."""
    answer = await client.post("/scholarships", json=DRAFT, headers=who)
    assert answer.status_code == 201
    made = answer.json()
    assert made == {"id": made["id"], **DRAFT}
    assert made["id"] > 15
    assert answer.headers["Location"] == f"/scholarships/{made['id']}"
    assert (await client.get(answer.headers["Location"])).json() == made


async def test_location(written_url: URL) -> None:
    """`Location` has the prefix of a proxy that cuts it off, and nothing of the `Host` that was sent."""
    async with served(Config(database_url=written_url, **FREELY)) as app, calling(app, root_path="/api") as client:
        answer = await client.post("/api/scholarships", json=DRAFT, headers={**ADMIN, "Host": "evil.example"})
    assert answer.headers["Location"] == f"/api/scholarships/{answer.json()['id']}"


async def test_least(client: httpx.AsyncClient) -> None:
    """Grades need not matter; space around a text and the case of a level do not."""
    draft = {**DRAFT, "title": "  Tidal\n ", "level": "DOCTORAL"}
    del draft["min_gpa"]
    made = (await client.post("/scholarships", json=draft, headers=ADMIN)).json()
    assert (made["title"], made["level"], made["min_gpa"]) == ("Tidal", "doctoral", None)


async def test_change(client: httpx.AsyncClient) -> None:
    """What is given is changed, null where null may be, and the rest stays."""
    number = await make(client)
    answer = await client.patch(f"/scholarships/{number}", json={"amount": 1, "min_gpa": None}, headers=PARTNER)
    assert answer.status_code == 200
    assert answer.json() == {"id": number, **DRAFT, "amount": 1, "min_gpa": None}
    assert (await client.get(f"/scholarships/{number}")).json() == answer.json()


async def test_changes_at_once(client: httpx.AsyncClient) -> None:
    """Of changes at once, those of different values are all kept, and of one value the later one."""
    number = await make(client)
    changes: list[dict[str, Any]] = [{"amount": amount} for amount in range(8)] + [{"country": "Wales"}]
    answers = await asyncio.gather(
        *(client.patch(f"/scholarships/{number}", json=change, headers=PARTNER) for change in changes)
    )
    assert {answer.status_code for answer in answers} == {200}
    after = (await client.get(f"/scholarships/{number}")).json()
    assert after["country"] == "Wales"
    assert after["amount"] in range(8)


async def test_delete(client: httpx.AsyncClient) -> None:
    """What is deleted is gone for everybody, also for whoever deletes it again."""
    number = await make(client)
    answer = await client.delete(f"/scholarships/{number}", headers=PARTNER)
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await client.get(f"/scholarships/{number}")).status_code == 404
    assert (await client.delete(f"/scholarships/{number}", headers=PARTNER)).status_code == 404
    assert await make(client) > number


async def test_full_text(client: httpx.AsyncClient) -> None:
    """The search finds what was made at once, what was changed by its new text alone, and nothing that was deleted."""
    number = await make(client, title="Xylophone award", description="For zithers.")
    assert await found(client, "xylophones") == [number]
    await client.patch(f"/scholarships/{number}", json={"title": "Bagpipes award"}, headers=PARTNER)
    assert await found(client, "xylophone") == []
    assert await found(client, "bagpipe zither") == [number]
    await client.delete(f"/scholarships/{number}", headers=PARTNER)
    assert await found(client, "zither") == []


async def test_own_rows(client: httpx.AsyncClient) -> None:
    """A partner neither changes nor deletes what another made, nor the samples; an admin does all of it."""
    number = await make(client, PARTNER)
    for each in (number, 1):
        for answer in (
            await client.patch(f"/scholarships/{each}", json={"amount": 1}, headers=OTHER),
            await client.delete(f"/scholarships/{each}", headers=OTHER),
        ):
            assert answer.status_code == 403
            assert answer.json() == {
                "error": "http_403",
                "message": "This scholarship belongs to somebody else",
                "request_id": answer.headers["X-Request-ID"],
            }
    assert (await client.get(f"/scholarships/{number}")).json() == {"id": number, **DRAFT}
    changed = await client.patch(f"/scholarships/{number}", json={"amount": 2}, headers=ADMIN)
    assert (changed.status_code, changed.json()["amount"]) == (200, 2)
    assert (await client.patch(f"/scholarships/{number}", json={"amount": 3}, headers=PARTNER)).status_code == 200
    assert (await client.delete(f"/scholarships/{number}", headers=ADMIN)).status_code == 204


async def test_owner_is_no_field(client: httpx.AsyncClient) -> None:
    """Nobody says whose a scholarship is, and no answer does."""
    assert (await client.post("/scholarships", json={**DRAFT, "owner": "admin"}, headers=PARTNER)).status_code == 422
    number = await make(client)
    for field in ("owner", "id"):
        answer = await client.patch(f"/scholarships/{number}", json={field: 1}, headers=PARTNER)
        assert answer.status_code == 422


CALLS = (("POST", ""), ("PATCH", "/1"), ("DELETE", "/1"), ("PATCH", "/99999"), ("DELETE", "/99999"))


@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_who(client: httpx.AsyncClient, method: str, path: str) -> None:
    """Without a token a write is a 401, for a student a 403, before anything else is looked at."""
    body: dict[str, Any] = {} if method == "DELETE" else {"json": DRAFT}
    nobody = await client.request(method, f"/scholarships{path}", **body)
    assert (nobody.status_code, nobody.headers["WWW-Authenticate"]) == (401, "Bearer")
    student = await client.request(method, f"/scholarships{path}", headers=STUDENT, **body)
    assert student.status_code == 403
    assert student.json()["message"] == "Forbidden"


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
@pytest.mark.parametrize("who", [ADMIN, PARTNER])
async def test_unknown(client: httpx.AsyncClient, method: str, who: dict[str, str]) -> None:
    """What is not there is a 404 for whoever may write."""
    body: dict[str, Any] = {} if method == "DELETE" else {"json": {"amount": 1}}
    assert (await client.request(method, "/scholarships/99999", headers=who, **body)).status_code == 404


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"title": ""}, "string_too_short"),
        ({"title": " \n"}, "string_too_short"),
        ({"title": "x" * 201}, "string_too_long"),
        ({"title": "a\0b"}, "string_nul"),
        ({"title": None}, "string_type"),
        ({"description": "x" * 5001}, "string_too_long"),
        ({"amount": -1}, "greater_than_equal"),
        ({"amount": 2**31}, "less_than_equal"),
        ({"amount": 1.5}, "int_from_float"),
        ({"deadline": "2027-02-30"}, "date_from_datetime_parsing"),
        ({"deadline": 20270131}, "date_format"),
        ({"deadline": None}, "date_type"),
        ({"level": "phd"}, "enum"),
        ({"country": "x" * 101}, "string_too_long"),
        ({"min_gpa": 4.1}, "less_than_equal"),
        ({"url": "javascript:alert(1)"}, "string_pattern_mismatch"),
        ({"url": "https://known.example@evil.example/"}, "string_pattern_mismatch"),
        ({"url": "https:///nowhere"}, "string_pattern_mismatch"),
        ({"url": "https://a.example/\r\nX-Injected: 1"}, "string_pattern_mismatch"),
        ({"url": "https://a.example/" + "x" * 500}, "string_too_long"),
        ({"colour": "blue"}, "extra_forbidden"),
    ],
)
async def test_invalid(client: httpx.AsyncClient, change: dict[str, Any], kind: str) -> None:
    """What the answers promise is asked of new ones and of changes alike."""
    (field,) = change
    for method, path, body in (("POST", "", DRAFT | change), ("PATCH", "/1", change)):
        answer = await client.request(method, f"/scholarships{path}", json=body, headers=ADMIN)
        assert answer.status_code == 422, answer.text
        assert [(problem["loc"], problem["type"]) for problem in answer.json()["details"]] == [(["body", field], kind)]


async def test_nothing(client: httpx.AsyncClient) -> None:
    """A change of nothing is a mistake, and so is a new scholarship without everything it needs."""
    assert (await client.patch("/scholarships/1", json={}, headers=ADMIN)).status_code == 422
    answer = await client.post("/scholarships", json={}, headers=ADMIN)
    assert {problem["loc"][1] for problem in answer.json()["details"]} == DRAFT.keys() - {"min_gpa"}


@pytest.mark.parametrize(
    "text", ["Robert'); DROP TABLE scholarships;--", "<script>alert(1)</script>", "🎓 Ünïcödé", "%s %(a)s ${x} {{7*7}}"]
)
async def test_any_text(client: httpx.AsyncClient, text: str) -> None:
    """Text is kept as it is, whatever it would mean elsewhere."""
    number = await make(client, title=text, description=text)
    assert (await client.get(f"/scholarships/{number}")).json()["title"] == text
    assert (await client.get("/scholarships")).json()["total"] >= 15


async def test_document(client: httpx.AsyncClient) -> None:
    """The document says who may write, and what a change can have."""
    document = (await client.get("/openapi.json")).json()
    write = document["paths"]["/scholarships/{id}"]["patch"]
    (scheme,) = write["security"]
    (name,) = scheme
    assert document["components"]["securitySchemes"][name]["flows"]["password"]["tokenUrl"] == "auth/token"
    assert "security" not in document["paths"]["/scholarships"]["get"]
    changes = document["components"]["schemas"]["ScholarshipChanges"]
    assert "required" not in changes
    assert not any("default" in field for field in changes["properties"].values())
    assert changes["minProperties"] == 1
