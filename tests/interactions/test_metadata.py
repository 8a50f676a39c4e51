"""What is kept of a request: without secrets, of bounded size, and such as any database takes."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import pytest
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.datastructures import FormData, Headers, QueryParams, UploadFile

from belvedere import Interactions
from belvedere.interactions.event import encoded
from belvedere.interactions.metadata import LARGEST, TRUNCATED, Sanitiser, bounded
from belvedere.redaction import Redactor
from tests.drive import ask, observed
from tests.interactions.conftest import rows

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
CARD = "4111 1111 1111 1111"
SECRETS = ["hunter2", JWT, "ann@example.org", CARD, "4111111111111111", "s3cr3t"]


def sanitiser(**options: Any) -> Sanitiser:
    return Sanitiser(Redactor(**options))


def upload(name: str) -> UploadFile:
    headers = Headers({"content-type": "application/pdf"})
    return UploadFile(BytesIO(b"hunter2"), size=3, filename=name, headers=headers)


class Level(Enum):
    MASTER = "master"


class Rate(Enum):
    HALF = 0.5
    UNKNOWN = None


class Score(float):
    """As those of numpy are, which JSON does not take for numbers by itself."""


class Login(NamedTuple):
    user: str
    password: str


@dataclasses.dataclass
class Point:
    x: int
    password: str


class Account(BaseModel):
    name: str
    password: SecretStr
    token: str
    tags: list[str] = []


FIELDS: dict[str, tuple[Any, Any]] = {
    "number": (1.5, 1.5),
    "score": ([Score(0.5)], [0.5]),
    "rates": ([Rate.HALF, Rate.UNKNOWN], [0.5, None]),
    "nothing": (None, None),
    "truth": (True, True),
    "when": (datetime(2026, 11, 21, tzinfo=UTC), "2026-11-21T00:00:00+00:00"),
    "day": (date(2026, 11, 21), "2026-11-21"),
    "price": (Decimal("1.50"), "1.50"),
    "ref": (UUID(int=7), str(UUID(int=7))),
    "place": (PurePosixPath("/a/b"), "/a/b"),
    "level": (Level.MASTER, "master"),
    "raw": (b"plain", "plain"),
    "several": ({"a"}, ["a"]),
    "pair": (("password", "hunter2"), ["password", "[redacted]"]),
    "headers": ([("authorization", "Bearer s3cr3t"), ("a", "b")], [["authorization", "[redacted]"], ["a", "b"]]),
    "fields": (
        [{"name": "password", "value": "hunter2"}, {"key": "a", "value": "b"}],
        [{"name": "password", "value": "[redacted]"}, {"key": "a", "value": "b"}],
    ),
    "login": (Login("ann", "hunter2"), {"user": "ann", "password": "[redacted]"}),
    "nested": ({"a": [{"api_key": "s3cr3t", "n": 1}]}, {"a": [{"api_key": "[redacted]", "n": 1}]}),
    "point": (Point(1, "hunter2"), {"x": 1, "password": "[redacted]"}),
    "account": (
        Account(name="Ann", password=SecretStr("hunter2"), token="s3cr3t", tags=["x"]),
        {"name": "Ann", "password": "[redacted]", "token": "[redacted]", "tags": ["x"]},
    ),
    "form": ("a=1&password=hunter2&b=2", "a=1&password=[redacted]&b=2"),
    "posted": (
        FormData([("a", "1"), ("a", "2"), ("password", "hunter2"), ("file", upload("cv of ann@example.org.pdf"))]),
        {
            "a": ["1", "2"],
            "password": "[redacted]",
            "file": {"filename": "cv of [redacted]", "content_type": "application/pdf", "size": 3},
        },
    ),
    "asked": (QueryParams("a=1&a=2&a=3&token=s3cr3t"), {"a": ["1", "2", "3"], "token": "[redacted]"}),
    "encoded": ("a=1&mail=ann%40example.org", "a=1&mail=[redacted]"),
    "inner_json": ('{"password": "hunter2"}', '{"password": "[redacted]"}'),
    "note": (f"write to ann@example.org, {JWT}", "write to [redacted], [redacted]"),
    "bearer": (f"Bearer {JWT}", "Bearer [redacted]"),
    "digits": (f"paid with {CARD}", "paid with [redacted]"),
    "integer": (4111111111111111, "[redacted]"),
    "large": (2**70, "a number of 71 bits"),
    "url": ("https://u:hunter2@example.org/", "https://u:[redacted]@example.org/"),
}


@pytest.mark.parametrize("key", FIELDS)
def test_fields_as_json_without_secrets(key: str) -> None:
    """Whatever an application adds is kept as JSON can hold it, and what is secret by key or shape is not."""
    value, expected = FIELDS[key]
    shown = sanitiser().fields({key: value})
    assert shown == {key: expected}
    assert orjson.loads(encoded(shown)) == {key: expected}
    assert not [secret for secret in SECRETS if secret in json.dumps(shown)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"a=1&b=&a=2&a=3", {"a": ["1", "2", "3"], "b": ""}),
        (b"email=ann%40example.org&q=ann%40example.org", {"email": "[redacted]", "q": "[redacted]"}),
        (b"access_token=s3cr3t&user[password]=hunter2", {"access_token": "[redacted]", "user[password]": "[redacted]"}),
        (b"ann%40example.org=1", {"[redacted]": "1"}),
        (b"next=%2Fin%3Ftoken%3Ds3cr3t", {"next": "/in?token=[redacted]"}),
        (b"next=%252Fin%253Ftoken%253Ds3cr3t", {"next": "/in?token=[redacted]"}),
        (b"%ff=%fe", {"\ufffd": "\ufffd"}),
        (b"=1&&;", {"": "1", ";": ""}),
    ],
)
def test_queries(query: bytes, expected: dict[str, Any]) -> None:
    """Parameters are decoded once to be shown, and again to be looked through."""
    assert sanitiser().query(query) == expected


def test_keys_of_the_settings() -> None:
    """`logs.redact` and `logs.allow` count here as well."""
    shown = sanitiser(redact=["tax_id"], allow=["token"]).fields({"userTaxId": 1, "token": "a@b.example", "email": "x"})
    assert shown == {"userTaxId": "[redacted]", "token": "a@b.example", "email": "[redacted]"}


def test_an_object_that_fails_leaves_the_others() -> None:
    class Hostile:
        def __str__(self) -> str:
            raise RuntimeError("no")

    assert sanitiser().fields({"a": Hostile(), "b": 1}) == {"a": None, "b": 1}


@pytest.mark.parametrize(
    "fields",
    [
        {"text": "x" * 1_000_000},
        {f"key{number}": "x" * 500 for number in range(1000)},
        {"list": list(range(100_000))},
        {"x" * 100_000: 1},
        {"deep": json.loads("[" * 500 + "]" * 500)},
        {f"key{number}": {"a": ["y" * 300] * 300} for number in range(50)},
        {"secrets": "ann@example.org " * 100_000},
    ],
)
def test_large_metadata_are_cut(fields: dict[str, Any]) -> None:
    """However much there is, an event stays small; and what was left out is said."""
    shown = bounded(sanitiser().fields(fields))
    assert len(orjson.dumps(shown)) <= LARGEST
    text = json.dumps(shown, ensure_ascii=False)
    assert TRUNCATED in text or "…" in text or "[redacted]" in text
    assert "ann@" not in text


def test_a_list_within_itself_ends() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert "…" in str(sanitiser().fields({"a": endless}))


JSONABLE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(st.characters()), inner, max_size=5),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.text(st.characters()), JSONABLE, max_size=5), st.text(st.characters()), st.binary())
def test_any_event_can_be_encoded(fields: dict[str, Any], path: str, query: bytes) -> None:
    """Half a surrogate pair, NUL, huge numbers: what comes out is JSON of bounded size that PostgreSQL takes."""
    made = sanitiser()
    metadata = bounded({**made.query(query), **made.fields(fields)})
    event = encoded({"path": made.text(path, 2048), "metadata": metadata})
    assert json.loads(event)
    assert "\\u0000" not in event.decode().replace("\\\\", "")
    assert len(orjson.dumps(json.loads(event)["metadata"])) <= LARGEST * 2


async def test_a_hostile_path_is_a_row(engine: AsyncEngine) -> None:
    """A token in the path is redacted, NUL and half a surrogate pair are replaced, and a long one is cut."""
    interactions = Interactions(engine)
    await interactions.create_table()
    app = FastAPI()

    @app.get("/files/{name:path}", dependencies=[interactions.record("read", subject="name")])
    async def read(name: str) -> None:
        """Answer with nothing."""

    names = [JWT, "a\0b", "a\udc80b", "x" * 60_000, "ann@example.org", "4111111111111111", "plain"]
    with observed(app, interactions):
        for name in names:
            await ask(app, path=f"/files/{name}")
        found = await rows(interactions)
    subjects = [row["subject"] for row in found]
    assert subjects[:3] == ["[redacted]", "a\ufffdb", "a\ufffd\ufffd\ufffdb"]
    assert [len(found[3]["path"]), len(subjects[3])] == [2048, 255]
    assert subjects[4:] == ["[redacted]", "[redacted]", "plain"]
    assert [row["path"] for row in found[4:]] == ["/files/[redacted]", "/files/[redacted]", "/files/plain"]


async def test_nobody_can_be_told_from_metadata(engine: AsyncEngine) -> None:
    """Personal data go from queries, bodies, events by hand and paths; what was searched for stays."""
    interactions = Interactions(engine)
    await interactions.create_table()
    app = FastAPI()

    @app.post("/search/{who}", dependencies=[interactions.record("search", subject="who")])
    async def search(body: dict[str, Any]) -> None:
        interactions.add(**body)

    student = {"last_name": "Lovelace", "address": {"street": "1 Main St", "city": "York"}, "level": "master"}
    with observed(app, interactions):
        await ask(
            app,
            "POST",
            "/search/+442071838750",
            query=b"first_name=Ada&phone=5551234&country=UK&q=engineering",
            headers=[(b"content-type", b"application/json")],
            body=orjson.dumps({"query": "grants, call +1 555 123 4567", "min_amount": 5000, "students": [student]}),
        )
        await interactions.log("imported", metadata={"date_of_birth": "1815-12-10", "rows": 3})
        searched, imported = await rows(interactions)
    await interactions.log("later", metadata={"username": "ada", "rows": 3})
    (*_, later) = await rows(interactions)
    assert searched["metadata"] == {
        "first_name": "[redacted]",
        "phone": "[redacted]",
        "country": "UK",
        "q": "engineering",
        "query": "grants, call [redacted]",
        "min_amount": 5000,
        "students": [{"last_name": "[redacted]", "address": "[redacted]", "level": "master"}],
    }
    assert (searched["subject"], searched["path"]) == ("[redacted]", "/search/[redacted]")
    assert imported["metadata"] == {"date_of_birth": "[redacted]", "rows": 3}
    assert later["metadata"] == {"username": "[redacted]", "rows": 3}


async def test_paths_keep_no_parameter_whose_name_hides_it(interactions: Interactions) -> None:
    """As in a query, a token is known by the name of its parameter; the subject that a mark asks for is kept."""
    app = FastAPI()

    @app.get("/reset/{token}/of/{year}", dependencies=[interactions.record("reset")])
    async def reset(token: str, year: int) -> None:
        if year == 2:
            await interactions.log("by_hand")

    @app.get("/export-{secret}.csv", dependencies=[interactions.record("export")])
    async def export(secret: str) -> None:
        """Answer with nothing."""

    @app.get("/sessions/{session_id}", dependencies=[interactions.record("session", subject="session_id")])
    async def session(session_id: int) -> None:
        """Answer with nothing."""

    with observed(app, interactions):
        for path in ("/reset/abc1/of/1", "/reset/abc2/of/2", "/export-abc3.csv", "/sessions/7", "/sessions/8"):
            assert (await ask(app, path=path)).status == 200
        found = await rows(interactions)
    assert [(row["path"], row["scholarship_id"]) for row in found] == [
        ("/reset/[redacted]/of/1", None),
        ("/reset/[redacted]/of/2", None),
        ("/reset/[redacted]/of/2", None),
        ("/export-[redacted].csv", None),
        ("/sessions/7", 7),
        ("/sessions/8", 8),
    ]
