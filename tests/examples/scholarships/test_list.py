"""`GET /scholarships` and `GET /scholarships/{id}`."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

NORTHERN_LIGHTS = {
    "id": 1,
    "title": "Northern Lights Climate Research Fellowship",
    "provider": "Borealis Research Council",
    "description": (
        "Funds doctoral research on glaciers, permafrost and the warming of the Arctic. "
        "Fellows spend one summer at a field station and publish their data openly."
    ),
    "amount": 32000,
    "deadline": "2027-02-15",
    "field_of_study": "Environmental Science",
    "level": "doctoral",
    "country": "Norway",
    "min_gpa": 3.5,
    "url": "https://borealis-research-council.example/northern-lights-climate-research-fellowship",
}
PLANCK_CIRCLE = {
    "id": 8,
    "title": "Quantum Horizons Postdoctoral Grant",
    "provider": "Planck Circle",
    "description": (
        "Two years of independent research in quantum information, with a budget for a laboratory of one's own."
    ),
    "amount": 54000,
    "deadline": "2027-01-20",
    "field_of_study": "Physics",
    "level": "postdoctoral",
    "country": "Germany",
    "min_gpa": None,
    "url": "https://planck-circle.example/quantum-horizons-postdoctoral-grant",
}
BY_DEADLINE = [8, 4, 1, 10, 2, 13, 3, 5, 9, 6, 12, 7, 11, 14, 15]
BY_AMOUNT = [7, 11, 13, 3, 10, 2, 9, 14, 5, 6, 12, 4, 15, 1, 8]
BY_TITLE = [4, 10, 3, 13, 5, 15, 1, 11, 9, 8, 7, 6, 12, 14, 2]


async def ids(client: httpx.AsyncClient, **params: Any) -> list[int]:
    answer = await client.get("/scholarships", params=params)
    assert answer.status_code == 200, answer.text
    page = answer.json()
    assert page["total"] == len(page["items"])
    return [item["id"] for item in page["items"]]


async def test_page(client: httpx.AsyncClient) -> None:
    """A list shows as many items as asked for, and how many there are."""
    answer = await client.get("/scholarships", params={"limit": 1, "offset": 2})
    assert answer.status_code == 200
    assert answer.json() == {"items": [NORTHERN_LIGHTS], "total": 15, "limit": 1, "offset": 2}


async def test_defaults(client: httpx.AsyncClient) -> None:
    """Without parameters all fifteen samples are listed, the next deadline first."""
    page = (await client.get("/scholarships")).json()
    assert [item["id"] for item in page.pop("items")] == BY_DEADLINE
    assert page == {"total": 15, "limit": 20, "offset": 0}


async def test_past_the_end(client: httpx.AsyncClient) -> None:
    """A page past the end is empty, and still says how many there are."""
    answer = await client.get("/scholarships", params={"offset": 2_147_483_647})
    assert answer.status_code == 200
    assert answer.json() == {"items": [], "total": 15, "limit": 20, "offset": 2_147_483_647}


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("deadline", BY_DEADLINE),
        ("-deadline", BY_DEADLINE[::-1]),
        ("amount", BY_AMOUNT),
        ("-amount", BY_AMOUNT[::-1]),
        ("title", BY_TITLE),
        ("-title", BY_TITLE[::-1]),
    ],
)
async def test_sort(client: httpx.AsyncClient, sort: str, expected: list[int]) -> None:
    """Each order is the same on each database, and `-` turns it round."""
    assert await ids(client, sort=sort) == expected


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"min_amount": 24000}, [8, 4, 1, 15]),
        ({"max_amount": 6000}, [7, 11]),
        ({"min_amount": 8000, "max_amount": 8000}, [3]),
        ({"deadline_after": "2027-07-15"}, [11, 14, 15]),
        ({"deadline_before": "2027-01-31"}, [8, 4]),
        ({"deadline_after": "2027-02-15", "deadline_before": "2027-02-28"}, [1, 10]),
        ({"field_of_study": "computer science"}, [2, 11]),
        ({"field_of_study": "computer"}, []),
        ({"level": "vocational"}, [7]),
        ({"level": "Postdoctoral"}, [8]),
        ({"country": " GERMANY "}, [8, 11]),
        ({"country": "Ger"}, []),
        ({"min_gpa": 2.9}, [8, 13, 3, 7, 11]),
        ({"min_gpa": 0}, [8, 7, 11]),
        ({"query": "research"}, [8, 1, 6]),
        ({"query": "grants", "country": "Germany", "max_amount": 50000}, [11]),
        ({"query": " ", "country": "", "field_of_study": "", "level": "vocational"}, [7]),
        ({"utm_source": "newsletter", "level": "vocational"}, [7]),
    ],
)
async def test_filters(client: httpx.AsyncClient, params: dict[str, Any], expected: list[int]) -> None:
    """Filters include their bounds, hold all together, ignore case and surrounding space; an empty text is none."""
    assert await ids(client, **params) == expected


@pytest.mark.parametrize(
    ("params", "place", "message", "kind"),
    [
        ({"limit": 0}, "limit", "Input should be greater than or equal to 1", "greater_than_equal"),
        ({"limit": 101}, "limit", "Input should be less than or equal to 100", "less_than_equal"),
        ({"offset": -1}, "offset", "Input should be greater than or equal to 0", "greater_than_equal"),
        ({"offset": 2**31}, "offset", "Input should be less than or equal to 2147483647", "less_than_equal"),
        ({"offset": 10**400}, "offset", "Input should be less than or equal to 2147483647", "less_than_equal"),
        ({"min_amount": 2**63}, "min_amount", "Input should be less than or equal to 2147483647", "less_than_equal"),
        ({"max_amount": -1}, "max_amount", "Input should be greater than or equal to 0", "greater_than_equal"),
        ({"min_amount": 5, "max_amount": 4}, "max_amount", "Input should not be less than min_amount", "range"),
        (
            {"deadline_after": "2027-02-01", "deadline_before": "2027-01-31"},
            "deadline_before",
            "Input should not be less than deadline_after",
            "range",
        ),
        ({"deadline_after": "20270131"}, "deadline_after", "Input should be a date such as 2027-01-31", "date_format"),
        ({"min_gpa": "NaN"}, "min_gpa", "Input should be a finite number", "finite_number"),
        ({"min_gpa": "-Infinity"}, "min_gpa", "Input should be a finite number", "finite_number"),
        ({"min_gpa": 4.01}, "min_gpa", "Input should be less than or equal to 4", "less_than_equal"),
        ({"country": "a\0b"}, "country", "Text must not have NUL characters", "string_nul"),
        ({"query": "x" * 501}, "query", "String should have at most 500 characters", "string_too_long"),
        (
            {"level": "phd"},
            "level",
            "Input should be 'undergraduate', 'graduate', 'doctoral', 'postdoctoral' or 'vocational'",
            "enum",
        ),
        (
            {"sort": "score"},
            "sort",
            "Input should be 'deadline', '-deadline', 'amount', '-amount', 'title' or '-title'",
            "enum",
        ),
    ],
)
async def test_invalid(client: httpx.AsyncClient, params: dict[str, Any], place: str, message: str, kind: str) -> None:
    """A parameter that cannot be right is told apart, with what would be right."""
    answer = await client.get("/scholarships", params=params)
    assert answer.status_code == 422
    assert answer.json() == {
        "error": "validation_error",
        "message": "Request validation failed",
        "details": [{"loc": ["query", place], "msg": message, "type": kind}],
        "request_id": answer.headers["X-Request-ID"],
    }


@pytest.mark.parametrize(
    "day", ["2027-02-30", "2027-13-01", "0000-01-01", "tomorrow", "1800000000", "2027-01-31T00:00"]
)
async def test_no_date(client: httpx.AsyncClient, day: str) -> None:
    """What is no date of the calendar is refused, and no number is taken for one."""
    answer = await client.get("/scholarships", params={"deadline_before": day})
    assert answer.status_code == 422
    assert [problem["loc"] for problem in answer.json()["details"]] == [["query", "deadline_before"]]


async def test_detail(client: httpx.AsyncClient) -> None:
    """A scholarship is read by its number; grades that do not matter are null."""
    answer = await client.get("/scholarships/8")
    assert answer.status_code == 200
    assert answer.json() == PLANCK_CIRCLE


@pytest.mark.parametrize("id", [16, 2_147_483_647])
async def test_unknown(client: httpx.AsyncClient, id: int) -> None:
    """A scholarship that does not exist is a 404 in the shape of all errors."""
    answer = await client.get(f"/scholarships/{id}", headers={"X-Request-ID": "looking-for-it"})
    assert answer.status_code == 404
    assert answer.json() == {"error": "http_404", "message": "Not Found", "request_id": "looking-for-it"}


@pytest.mark.parametrize(
    ("id", "message", "kind"),
    [
        ("0", "Input should be greater than or equal to 1", "greater_than_equal"),
        (str(2**31), "Input should be less than or equal to 2147483647", "less_than_equal"),
        ("9" * 100, "Input should be less than or equal to 2147483647", "less_than_equal"),
        ("first", "Input should be a valid integer, unable to parse string as an integer", "int_parsing"),
        ("%00", "Input should be a valid integer, unable to parse string as an integer", "int_parsing"),
    ],
)
async def test_no_id(client: httpx.AsyncClient, id: str, message: str, kind: str) -> None:
    """A number that no scholarship can have is refused before the database is asked."""
    answer = await client.get(f"/scholarships/{id}")
    assert answer.status_code == 422
    assert answer.json() == {
        "error": "validation_error",
        "message": "Request validation failed",
        "details": [{"loc": ["path", "id"], "msg": message, "type": kind}],
        "request_id": answer.headers["X-Request-ID"],
    }
