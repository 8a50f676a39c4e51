"""Marks: where they may stand, that they are no dependencies, and which are refused."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from belvedere import Interactions
from tests.drive import ask, observed
from tests.interactions.conftest import rows
from tests.interactions.scholarships import JSON, application


async def test_marks_everywhere_the_nearest_counts(interactions: Interactions) -> None:
    """A mark on the application, on included and nested routers, in a mounted application; never two rows."""
    app = FastAPI(dependencies=[interactions.record("app")])
    outer = APIRouter(prefix="/outer", dependencies=[interactions.record("outer")])
    inner = APIRouter(prefix="/inner", dependencies=[interactions.record("inner")])
    mounted = FastAPI()

    async def answer() -> None:
        """Answer with nothing."""

    app.get("/")(answer)
    outer.get("/")(answer)
    inner.get("/")(answer)
    inner.get("/{key}", dependencies=[interactions.record("route", subject="key")])(answer)
    mounted.get("/item/{key}", dependencies=[interactions.record("mounted", subject="key")])(answer)
    outer.include_router(inner)
    app.include_router(outer)
    app.include_router(inner, prefix="/again", dependencies=[interactions.record("again")])
    app.mount("/mounted", mounted)
    with observed(app, interactions):
        paths = ["/", "/outer/", "/outer/inner/", "/outer/inner/5", "/again/inner/", "/mounted/item/6"]
        for path in 2 * paths:
            assert (await ask(app, path=path)).status == 200
        found = await rows(interactions)
    expected = [("app", None), ("outer", None), ("inner", None), ("route", 5), ("inner", None), ("mounted", 6)]
    assert [(row["event_type"], row["scholarship_id"]) for row in found] == 2 * expected


async def test_a_mark_is_no_dependency_while_it_is_installed(interactions: Interactions) -> None:
    """After its first request a route resolves its mark no longer; the others stay, in order; `remove` puts it back."""
    app = FastAPI()
    seen: list[str] = []
    parameter = interactions.record("view")

    async def before() -> None:
        seen.append("before")

    async def after(key: str) -> None:
        seen.append("after")

    @app.get("/{key}", dependencies=[Depends(before), interactions.record("view"), Depends(after)], response_model=None)
    async def view(value: Any = parameter) -> None:
        seen.append("view")

    route: Any = app.routes[-1]
    marks = list(route.dependencies)
    whole = list(route.dependant.dependencies)
    with observed(app, interactions):
        for _ in range(2):
            await ask(app, path="/1")
        assert route.dependencies == marks
        assert len(route.dependant.dependencies) == len(whole) - 1
    assert route.dependant.dependencies == whole
    assert seen == ["before", "after", "view"] * 2
    assert len(await rows(interactions)) == 2


async def test_without_observe_nothing_is_recorded_and_all_works(interactions: Interactions) -> None:
    """A mark alone does nothing, nor does what the endpoint adds."""
    app = application(interactions)
    assert (await ask(app, path="/scholarships/7")).json() == {"id": 7}
    assert (await ask(app, "POST", "/search", body=b"{}", headers=JSON)).status == 200
    assert await rows(interactions) == []


def test_wrong_arguments_say_what_to_do(engine: AsyncEngine) -> None:
    """What cannot work is refused where it is written."""
    interactions = Interactions(engine)
    wrong: Any = 7
    for event in ("", wrong):
        with pytest.raises(ValueError, match="an event needs a name"):
            interactions.record(event)
    for subject in ("", wrong):
        with pytest.raises(ValueError, match="name of a parameter"):
            interactions.record("a", subject=subject)
    with pytest.raises(TypeError, match="create_async_engine"):
        Interactions(wrong)
    for retention in (0, -1):
        with pytest.raises(ValueError, match="keeps nothing"):
            Interactions(engine, retention=retention)
    with pytest.raises(TypeError, match="number of days"):
        Interactions(engine, retention="7 days")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("argument", "error", "said"),
    [
        ({"journal": 5}, TypeError, "journal=5 is no folder"),
        ({"journal": ""}, ValueError, "journal='' is no folder"),
        ({"memory": "10"}, TypeError, "memory='10' is no whole number"),
        ({"memory": -1}, ValueError, "memory=-1 is less than 0"),
        ({"journal_bytes": 0}, ValueError, "journal_bytes=0 is less than 1"),
        ({"journal_bytes": True}, TypeError, "journal_bytes=True is no whole number"),
        ({"shutdown": None}, TypeError, "shutdown=None is no number of seconds"),
        ({"shutdown": float("nan")}, ValueError, "shutdown=nan is less than 0"),
    ],
)
async def test_bounds_that_are_none(
    engine: AsyncEngine, argument: dict[str, Any], error: type[Exception], said: str
) -> None:
    """They are refused at the call, and not when the first event meets them."""
    with pytest.raises(error, match=said):
        Interactions(engine, **argument)
