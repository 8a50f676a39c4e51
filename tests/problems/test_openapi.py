from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, HTTPException
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.models import OpenAPI
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.exceptions import HTTPException as StarletteHTTPException

from belvedere import failures
from belvedere.problems.openapi import COMPONENTS
from tests.problems.conftest import ask, attached

PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}


def content(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}, **PROBLEM}


FAILURE = {"description": "Internal Server Error", "content": content("ErrorEnvelope")}
CLIENT_ERROR = {"description": "Client Error", "content": content("ErrorEnvelope")}


class Order(BaseModel):
    number: int


class Refusal(BaseModel):
    reason: str


def application() -> FastAPI:
    app = FastAPI()

    @app.get("/orders/{number}", responses={404: {"description": "No such order"}})
    async def read(number: int) -> Order:
        raise HTTPException(404)

    @app.post(
        "/orders", responses={409: {"model": Refusal}, 422: {"description": "Not like this"}}, response_model=None
    )
    async def create(order: Order) -> None: ...

    @app.get("/ping", response_model=None)
    async def ping() -> None: ...

    @app.get("/hidden", include_in_schema=False)
    async def hidden() -> None: ...

    return app


def documented(app: Any, **settings: Any) -> Any:
    """Return the schema as it is while the application is observed, having made sure that it is one."""
    with attached(app, **settings):
        schema = app.openapi()
        OpenAPI.model_validate(schema)
        known = {f"#/components/schemas/{name}" for name in schema.get("components", {}).get("schemas", {})}
        assert set(references(schema)) <= known
        return schema


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def responses(schema: Any, path: str, method: str = "get") -> Any:
    return schema["paths"][path][method]["responses"]


def test_every_operation_tells_its_errors() -> None:
    """Each operation has a 500 and a 4XX; FastAPI's 422 and what was declared without a content have our shape."""
    schema = documented(application())
    ok = {"description": "Successful Response", "content": {"application/json": {"schema": {}}}}
    assert responses(schema, "/ping") == {"200": ok, "4XX": CLIENT_ERROR, "500": FAILURE}
    assert responses(schema, "/orders/{number}") == {
        "200": {
            "description": "Successful Response",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Order"}}},
        },
        "404": {"description": "No such order", "content": content("ErrorEnvelope")},
        "422": {"description": "Validation Error", "content": content("ValidationErrorEnvelope")},
        "4XX": CLIENT_ERROR,
        "500": FAILURE,
    }
    assert responses(schema, "/orders", "post") == {
        "200": ok,
        "409": {
            "description": "Conflict",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}},
        },
        "422": {"description": "Not like this", "content": content("ValidationErrorEnvelope")},
        "4XX": CLIENT_ERROR,
        "500": FAILURE,
    }
    assert "/hidden" not in schema["paths"]
    assert set(schema["components"]["schemas"]) == {"Order", "Refusal", *COMPONENTS}


def test_with_problem_documents_for_everybody_only_they_are_told() -> None:
    """With `format="problem"` the schema knows no envelope."""
    schema = documented(application(), problems={"format": "problem"})
    assert responses(schema, "/ping")["500"] == {"description": "Internal Server Error", "content": PROBLEM}
    assert responses(schema, "/orders/{number}")["422"]["content"] == PROBLEM
    assert set(schema["components"]["schemas"]) == {"Order", "Refusal", "ProblemDocument"}


@pytest.mark.parametrize("accept", ["*/*", "application/problem+json"])
@pytest.mark.parametrize(("path", "status"), [("/orders/7", "404"), ("/orders/x", "422"), ("/broken", "500")])
async def test_what_is_told_is_what_is_answered(path: str, status: str, accept: str) -> None:
    """Each error that is answered has the type, and exactly the members, that the schema tells of."""
    app = application()

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError

    schema = documented(app)
    with attached(app):
        response = await ask(app, path, headers={"accept": accept})
    told = responses(schema, "/broken" if path == "/broken" else "/orders/{number}")[status]["content"]
    name = told[response.headers["content-type"]]["schema"]["$ref"].removeprefix("#/components/schemas/")
    component = schema["components"]["schemas"][name]
    assert set(component["required"]) <= set(response.json()) <= set(component["properties"])


def test_a_default_or_a_range_of_the_applications_own_stands() -> None:
    """Where the application declares `default`, `5XX` or `4XX`, no more is added; without a content they get ours."""
    app = FastAPI()

    @app.get("/a", responses={"default": {"model": Refusal}})
    async def a() -> None: ...

    @app.get("/b", responses={"5XX": {"model": Refusal}, "4XX": {"description": "Your mistake"}})
    async def b() -> None: ...

    @app.get("/c", responses={404: {"$ref": "#/components/responses/Gone"}, 302: {"description": "Elsewhere"}})
    async def c() -> None: ...

    with attached(app):
        schema = app.openapi()
    assert set(responses(schema, "/a")) == {"200", "default"}
    assert set(responses(schema, "/b")) == {"200", "4XX", "5XX"}
    assert responses(schema, "/b")["4XX"] == {"description": "Your mistake", "content": content("ErrorEnvelope")}
    assert "content" not in responses(schema, "/c")["404"]
    assert "content" not in responses(schema, "/c")["302"]


async def own(*_: Any) -> None: ...


@pytest.mark.parametrize(
    ("handled", "told"),
    [
        (StarletteHTTPException, {"422", "500"}),
        (HTTPException, {"422", "500"}),
        (404, {"4XX", "422", "500"}),
        (RequestValidationError, {"404", "4XX", "500"}),
        (Exception, {"404", "4XX", "422"}),
        (500, {"404", "4XX", "422"}),
    ],
)
def test_what_the_application_handles_itself_is_not_told(handled: Any, told: set[str]) -> None:
    """Errors that the application's own handlers answer are left as they were declared."""
    app = application()
    app.add_exception_handler(handled, own)
    schema = documented(app)
    found = responses(schema, "/orders/{number}")
    ours = {status for status, response in found.items() if PROBLEM.items() <= response.get("content", {}).items()}
    assert ours == told
    assert ("HTTPValidationError" in schema["components"]["schemas"]) is (handled is RequestValidationError)


def test_names_that_are_taken_are_left_alone() -> None:
    """An application's own model of the same name keeps it; ours gets a number."""

    class ErrorEnvelope(BaseModel):
        mine: str

    app = FastAPI()

    @app.get("/ping", responses={404: {"model": ErrorEnvelope}})
    async def ping() -> None: ...

    schema = documented(app)
    assert responses(schema, "/ping")["500"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/ErrorEnvelope2"
    }
    assert schema["components"]["schemas"]["ErrorEnvelope"]["required"] == ["mine"]
    assert schema["components"]["schemas"]["ErrorEnvelope2"] == COMPONENTS["ErrorEnvelope"]


def test_frameworks_components_stay_where_they_are_used() -> None:
    """What still refers to FastAPI's own validation error, such as a callback, keeps it in the schema."""
    app = FastAPI()
    callbacks = APIRouter()

    @callbacks.post("{$callback_url}")
    async def tell(order: Order) -> None: ...

    @app.post("/orders", callbacks=callbacks.routes)
    async def create(order: Order) -> None: ...

    assert {"HTTPValidationError", "ValidationError"} <= set(documented(app)["components"]["schemas"])


def test_the_schema_is_made_once_and_again_when_it_changes() -> None:
    """The same schema is returned until the application's own one changes; a route added later is told of."""
    app = application()
    with attached(app):
        schema = app.openapi()
        assert app.openapi() is schema
        app.openapi_schema = None

        @app.get("/late")
        async def late() -> None: ...

        assert responses(app.openapi(), "/late")["500"] == FAILURE


def test_what_was_told_is_taken_back() -> None:
    """After the end of it, the application has the method and the schema that it had, byte for byte."""
    app = application()
    before = deepcopy(app.openapi())
    with attached(app):
        assert app.openapi() != before
    assert json.dumps(app.openapi()) == json.dumps(before)
    assert "openapi" not in vars(app)


def test_a_schema_of_the_applications_own_is_called_and_given_back() -> None:
    """An `openapi` that the application put there is still called, and there again afterwards."""
    app = application()
    original = app.openapi

    def custom() -> dict[str, Any]:
        schema = original()
        schema["info"]["x-logo"] = {"url": "https://shop.test/logo.png"}
        return schema

    app.openapi = custom  # type: ignore[method-assign]
    schema = documented(app)
    assert schema["info"]["x-logo"] == {"url": "https://shop.test/logo.png"}
    assert responses(schema, "/ping")["500"] == FAILURE
    assert app.openapi is custom


def test_a_schema_that_was_kept_is_documented_once() -> None:
    """Where the application keeps what it got as its own schema, nothing is added a second time."""
    app = application()
    with attached(app):
        app.openapi_schema = app.openapi()
        assert app.openapi() == app.openapi_schema


def test_an_openapi_that_was_put_there_later_stays() -> None:
    """Where somebody replaced `openapi` meanwhile, the end of it leaves theirs."""
    app = application()

    def theirs() -> dict[str, Any]:
        return {}

    with attached(app):
        app.openapi = theirs  # type: ignore[method-assign]
    assert app.openapi is theirs


def test_a_schema_that_nobody_understands_is_left_as_it_is() -> None:
    """A schema of another shape is returned as it came, and the failure is counted."""
    app = application()
    strange: Any = {"paths": {"/ping": None}}
    app.openapi = lambda: strange  # type: ignore[method-assign]
    before = failures.counts["problems"]
    with attached(app):
        assert app.openapi() is strange
    assert failures.counts["problems"] == before + 1


def test_an_application_without_operations() -> None:
    """A schema without paths gets no components."""
    schema = documented(FastAPI())
    assert (schema["paths"], "components" in schema) == ({}, False)


def test_starlette_has_no_schema() -> None:
    """An application without `openapi` is left alone."""
    app = Starlette()
    with attached(app):
        assert not hasattr(app, "openapi")


async def test_mounted_applications_tell_their_own() -> None:
    """A mounted application's schema tells its errors as well, over the wire."""
    app, mounted = application(), application()
    app.mount("/mounted", mounted)
    with attached(app):
        schema = (await ask(app, "/mounted/openapi.json")).json()
    assert responses(schema, "/ping")["500"] == FAILURE
    assert "openapi" not in vars(mounted)
