"""`POST /search`."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import URL, text

from scholarships.config import Config
from scholarships.database import Database
from tests.examples.scholarships.serving import made, running
from tests.examples.scholarships.test_list import NORTHERN_LIGHTS


async def search(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await client.post("/search", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ids(found: dict[str, Any]) -> list[int]:
    return [item["id"] for item in found["items"]]


async def test_answer(client: httpx.AsyncClient) -> None:
    """A search answers as the list does, each item with its score."""
    found = await search(client, query="glacier", limit=5)
    score = found["items"][0].pop("score")
    assert score > 0
    assert found == {"items": [NORTHERN_LIGHTS], "total": 1, "limit": 5, "offset": 0}


async def test_ranking(client: httpx.AsyncClient) -> None:
    """A word in a title weighs more than one in a field, and that more than one in a description."""
    found = await search(client, query="engineering")
    scores = [item["score"] for item in found["items"]]
    assert found["items"][0]["title"] == "First Generation Engineers Award"
    assert sorted(ids(found)) == [2, 3, 6]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > scores[1] >= scores[2] > 0


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("climate", [1, 12]),
        ("Climate RESEARCH", [1]),
        ("researching climates", [1]),
        ("research on the climate", [1]),
        ("machine-learning", [4]),
        ("learning/machine", [4]),
        ("Morocco energy", [6]),
        ("one's own laboratory", [8]),
        ("ｃｌｉｍａｔｅ　ｒｅｓｅａｒｃｈ", [1]),
        ("climate unicorn", []),
        ("Zürich", []),
        ("glac", []),
    ],
)
async def test_words(client: httpx.AsyncClient, query: str, expected: list[int]) -> None:
    """All words have to be there, in any order, case, width and inflection; those that say nothing do not matter."""
    found = await search(client, query=query)
    assert ids(found) == expected
    assert found["total"] == len(expected)


@pytest.mark.parametrize(
    "body", [{}, {"query": None}, {"query": ""}, {"query": "the of and"}, {"query": "!?*\"'():🎓"}]
)
async def test_nothing_to_search_for(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    """Without a word to search for, the filters alone decide; the scores are 0, and the next deadline comes first."""
    found = await search(client, **body, level="graduate", min_amount=18000)
    assert [(item["id"], item["score"]) for item in found["items"]] == [(4, 0.0), (5, 0.0), (6, 0.0)]
    assert found["total"] == 3


async def test_filters(client: httpx.AsyncClient) -> None:
    """A search takes all filters together with its text."""
    found = await search(
        client,
        query="climate",
        min_amount=20000,
        max_amount=30000,
        deadline_after="2027-05-01",
        deadline_before="2027-05-31",
        field_of_study="Agriculture",
        level="doctoral",
        country="Kenya",
        min_gpa=3.2,
    )
    assert ids(found) == [12]
    assert ids(await search(client, query="climate", min_gpa=3.1)) == []


async def test_pages(client: httpx.AsyncClient) -> None:
    """The pages of a search have everything once."""
    whole = await search(client, query="scholarship")
    pages = [await search(client, query="scholarship", limit=2, offset=offset) for offset in (0, 2, 4, 6)]
    assert whole["total"] == len(whole["items"]) == 6
    assert [number for page in pages for number in ids(page)] == ids(whole)
    assert {page["total"] for page in pages} == {6}


@pytest.mark.parametrize(
    "query",
    [
        '"',
        '"climate" OR',
        "climate AND",
        "NEAR(climate, 2)",
        "title:climate*",
        "^climate - ocean",
        "{title} : climate",
        "climate & | ! <-> ocean:*",
        "'; DROP TABLE scholarships; --",
        "\\' || pg_sleep(9)",
        "%_\\",
        "a" * 500,
        " ".join("bcdefghjklmnopqruvwxyz" * 11)[:500],
        "㌖" * 500,
        "\u200b\u202e\x01\x7f",
    ],
)
async def test_syntax(client: httpx.AsyncClient, query: str) -> None:
    """What means something to a database is text like any other, and leaves the tables as they are."""
    await search(client, query=query)
    assert (await search(client))["total"] == 15


@settings(max_examples=60, deadline=None)
@given(query=st.text(max_size=60))
async def test_any_text(client: httpx.AsyncClient, query: str) -> None:
    """Any text is searched for, but for those with NUL, which are refused."""
    answer = await client.post("/search", json={"query": query})
    assert answer.status_code == (422 if "\0" in query else 200)


@pytest.mark.parametrize(
    ("body", "place", "message", "kind"),
    [
        (b'{"query":"a\\u0000b"}', ["query"], "Text must not have NUL characters", "string_nul"),
        (b'{"limit":null}', ["limit"], "Input should be a valid integer", "int_type"),
        (b'{"min_amount":2,"max_amount":1}', ["max_amount"], "Input should not be less than min_amount", "range"),
        (b'{"deadline_after":1}', ["deadline_after"], "Input should be a date such as 2027-01-31", "date_format"),
        (
            b'{"min_amount":99999999999999999999}',
            ["min_amount"],
            "Input should be less than or equal to 2147483647",
            "less_than_equal",
        ),
        (b'{"sort":"amount"}', ["sort"], "Extra inputs are not permitted", "extra_forbidden"),
        (b'{"query":1}', ["query"], "Input should be a valid string", "string_type"),
        (
            b'{"level":["graduate"]}',
            ["level"],
            "Input should be 'undergraduate', 'graduate', 'doctoral', 'postdoctoral' or 'vocational'",
            "enum",
        ),
    ],
)
async def test_invalid(client: httpx.AsyncClient, body: bytes, place: list[str], message: str, kind: str) -> None:
    """A body that cannot be right is refused with what would be."""
    answer = await client.post("/search", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json() == {
        "error": "validation_error",
        "message": "Request validation failed",
        "details": [{"loc": ["body", *place], "msg": message, "type": kind}],
        "request_id": answer.headers["X-Request-ID"],
    }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"min_amount":NaN}',
        b'{"max_amount":Infinity}',
        b'{"min_gpa":-Infinity}',
        b'{"min_gpa":NaN}',
        b'{"min_gpa":1e999}',
        b'{"query":"\\ud800"}',
        b'{"\\ud800":1}',
        b"\xff",
        b"[" * 60_000,
        b'{"query":' * 5_000,
        b'{"query":' + b"[" * 500 + b"]" * 500 + b"}",
    ],
)
async def test_no_search(client: httpx.AsyncClient, body: bytes) -> None:
    """A body that is no JSON object, or holds what is no number or text, is a 422 in the shape of all errors."""
    answer = await client.post("/search", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    problem = answer.json()
    assert problem.keys() == {"error", "message", "details", "request_id"}
    assert problem["error"] == "validation_error"
    assert problem["request_id"] == answer.headers["X-Request-ID"]
    assert all(detail.keys() == {"loc", "msg", "type"} for detail in problem["details"])


async def test_index_follows(empty_url: URL) -> None:
    """What is changed or deleted is found by its new text alone."""
    database = Database(empty_url)
    with made(Config(database_url=empty_url)) as app:
        async with (
            running(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client,
        ):
            assert ids(await search(client, query="glaciers")) == [1]
            async with database.engine.begin() as connection:
                await connection.execute(text("UPDATE scholarships SET description = 'Volcanoes' WHERE id = 1"))
                await connection.execute(text("DELETE FROM scholarships WHERE id = 12"))
            assert ids(await search(client, query="glaciers")) == []
            assert ids(await search(client, query="volcano")) == [1]
            assert ids(await search(client, query="climate")) == [1]
    await database.close()
