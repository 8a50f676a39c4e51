from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from fastapi import FastAPI, Query
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from belvedere import failures
from belvedere.problems.validation import MOST_CHARACTERS, MOST_VALUES, details
from tests.problems.conftest import ID, Log, ask, attached


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


class Account(BaseModel):
    password: str = "long enough"
    pin: int = 1234
    pet: Annotated[Cat | Dog, Field(discriminator="kind")] | None = None

    @field_validator("password")
    @classmethod
    def strong(cls, value: str) -> str:
        if value.startswith("weak"):
            raise ValueError(f"{value!r} is weak, {value.upper()} as well")
        if value.startswith("known"):
            raise PydanticCustomError("known_password", "{password} was found in a list", {"password": value})
        if value == "brief":
            raise AssertionError(f"{value} is too short")
        return value

    @model_validator(mode="after")
    def different(self) -> Account:
        if str(self.pin) in self.password:
            raise ValueError(f"{self.password} contains {self.pin}")
        return self


def application() -> FastAPI:
    app = FastAPI()

    @app.post("/accounts/{number}")
    async def create(number: int, account: Account) -> None:
        return None

    @app.post("/login")
    async def login(code: Annotated[str, Query(min_length=20)]) -> None:
        return None

    @app.post("/many")
    async def many(numbers: list[int]) -> None:
        return None

    return app


async def errors(path: str, **arguments: Any) -> Any:
    app = application()
    with attached(app):
        response = await ask(app, path, "POST", **arguments)
    assert response.status_code == 422
    return response.json()["details"]


async def test_the_answer_to_a_request_that_is_not_valid(log: Log) -> None:
    """A 422 tells where, what and which type, and so does its one event, without any value, context or address."""
    app = application()
    with attached(app, log):
        response = await ask(app, "/accounts/seven-and-a-half", "POST", json={"password": ["hunter2"]})
    found = [
        {
            "loc": ["path", "number"],
            "msg": "Input should be a valid integer, unable to parse string as an integer",
            "type": "int_parsing",
        },
        {"loc": ["body", "password"], "msg": "Input should be a valid string", "type": "string_type"},
    ]
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {
        "error": "validation_error",
        "message": "Request validation failed",
        "details": found,
        "request_id": ID,
    }
    assert list(response.json()) == ["error", "message", "details", "request_id"]
    assert log == [
        (
            "warning",
            "validation_error",
            {"errors": found, "path": "/accounts/seven-and-a-half", "method": "POST"},
        )
    ]


async def test_a_body_that_is_no_json() -> None:
    """Malformed JSON is a 422 that names the position, and shows nothing of the body."""
    headers = {"content-type": "application/json"}
    assert await errors("/accounts/7", content=b'{"password": hunter2}', headers=headers) == [
        {"loc": ["body", 13], "msg": "JSON decode error", "type": "json_invalid"}
    ]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (
            {"password": "weak-hunter2"},
            {
                "loc": ["body", "password"],
                "msg": "Value error, '[redacted]' is weak, [redacted] as well",
                "type": "value_error",
            },
        ),
        (
            {"password": "known-hunter2"},
            {"loc": ["body", "password"], "msg": "[redacted] was found in a list", "type": "known_password"},
        ),
        (
            {"password": "brief"},
            {
                "loc": ["body", "password"],
                "msg": "Assertion failed, [redacted] is too short",
                "type": "assertion_error",
            },
        ),
        (
            {"password": "hunter-4711", "pin": 4711},
            {"loc": ["body"], "msg": "Value error, [redacted] contains [redacted]", "type": "value_error"},
        ),
        (
            {"pet": {"kind": "hunter2"}},
            {
                "loc": ["body", "pet"],
                "msg": "Input tag found using 'kind' does not match any of the expected tags: 'cat', 'dog'",
                "type": "union_tag_invalid",
            },
        ),
    ],
)
async def test_messages_repeat_no_value(body: dict[str, Any], error: dict[str, Any]) -> None:
    """Where a message embeds what was sent, in whichever spelling, that part is redacted."""
    assert await errors("/accounts/7", json=body) == [error]


async def test_values_of_queries_and_lists_are_not_repeated() -> None:
    """Constraints are told, what was sent is not."""
    assert await errors("/login?code=hunter2") == [
        {"loc": ["query", "code"], "msg": "String should have at least 20 characters", "type": "string_too_short"}
    ]
    assert await errors("/many", json=[1, "hunter2"]) == [
        {
            "loc": ["body", 1],
            "msg": "Input should be a valid integer, unable to parse string as an integer",
            "type": "int_parsing",
        }
    ]


async def test_a_flood_of_errors_is_one_bounded_event(log: Log) -> None:
    """However many errors a request has, the answer tells all, and the event twenty and how many more there are."""
    app = application()
    with attached(app, log):
        response = await ask(app, "/many", "POST", json=["x"] * 100)
    assert len(response.json()["details"]) == 100
    ((_, _, fields),) = log
    assert (len(fields["errors"]), fields["errors_omitted"]) == (20, 80)


def detail(message: str, value: Any, kind: str = "value_error") -> str:
    (one,) = details([{"loc": ("body",), "msg": message, "type": kind, "input": value}])
    found: str = one["msg"]
    return found


@pytest.mark.parametrize(
    ("message", "value", "shown"),
    [
        ("Value error, must be below 10", 10, "Value error, must be below 10"),
        (
            "Value error, hunter2 and hunter",
            {"a": ["hunter"], "b": ("hunter2",)},
            "Value error, [redacted] and [redacted]",
        ),
        ("Value error, it's\\n", "it's\n", "Value error, [redacted]"),
        ("Value error, 'a\\nb-c'", "a\nb-c", "Value error, '[redacted]'"),
        ("Value error, hunter2", b"hunter2", "Value error, [redacted]"),
        ("Value error, None and True", [None, True, {}], "Value error, None and True"),
        ("Value error, hunter2", ["x"] * MOST_VALUES + ["hunter2"], "Value error"),
        ("Value error, hunter2", [[]] * MOST_VALUES + ["hunter2"], "Value error"),
        ("x" * (MOST_CHARACTERS + 1), "hunter2", "Value error"),
        ("Value error, short", "much longer than the message", "Value error, short"),
    ],
)
def test_how_values_are_found(message: str, value: Any, shown: str) -> None:
    """Values of four characters and more are found at any depth; where there are too many, the message is plain."""
    assert detail(message, value) == shown


def test_the_plain_message_of_a_type_of_the_applications_own() -> None:
    """A type that nobody knows has "Invalid value" as its plain message."""
    assert detail("x" * (MOST_CHARACTERS + 1), None, "my_error") == "Invalid value"


async def test_errors_of_the_applications_own_making(log: Log) -> None:
    """Whatever an application puts into a `RequestValidationError` becomes the same three keys."""
    app = FastAPI()
    given: list[Any] = [
        {"loc": ["query", "q"], "msg": "Too long", "type": "too_long"},
        {"loc": "q", "type": "my_error", "url": "https://hunter2.test", "ctx": {"value": "hunter2"}},
        {},
        "hunter2",
    ]

    @app.get("/")
    async def root() -> None:
        raise RequestValidationError(given)

    with attached(app, log):
        response = await ask(app, "/")
    assert response.json()["details"] == [
        {"loc": ["query", "q"], "msg": "Too long", "type": "too_long"},
        {"loc": ["q"], "msg": "Invalid value", "type": "my_error"},
        {"loc": [], "msg": "Invalid value", "type": "value_error"},
        {"loc": [], "msg": "Invalid value", "type": "value_error"},
    ]


async def test_errors_that_cannot_be_read() -> None:
    """Where the errors themselves raise, the answer is a 422 without details, and the failure is counted."""

    class BrokenError(RequestValidationError):
        def errors(self) -> Any:
            raise RuntimeError

    app = FastAPI()

    @app.get("/")
    async def root() -> None:
        raise BrokenError([])

    before = failures.counts["problems"]
    with attached(app):
        response = await ask(app, "/")
    assert (response.status_code, response.json()["details"]) == (422, [])
    assert failures.counts["problems"] == before + 1
