"""An application about scholarships, whose routes end in every way."""

from __future__ import annotations

from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel

import belvedere
from belvedere import Interactions

JSON = [(b"content-type", b"application/json")]


class Search(BaseModel):
    """A body."""

    query: str = ""
    limit: int = 10


def refuse() -> None:
    """Refuse a request in a dependency."""
    raise HTTPException(401)


def application(interactions: Interactions) -> FastAPI:
    """Routes that end in every way."""
    app = FastAPI()

    @app.get("/scholarships/{id}", dependencies=[interactions.record("view_scholarship", subject="id")])
    async def view(id: int) -> dict[str, int]:
        belvedere.bind(user_id="u1")
        if id == 0:
            raise HTTPException(404)
        if id == 500:
            raise RuntimeError("broken")
        return {"id": id}

    @app.post("/search", dependencies=[interactions.record("search_scholarships")])
    async def search(body: Search) -> dict[str, str]:
        interactions.add(**body.model_dump())
        return {}

    @app.get("/private", dependencies=[interactions.record("private"), Depends(refuse)])
    async def private() -> None:
        """Answer nobody."""

    @app.get("/unmarked")
    async def unmarked() -> None:
        """Be of no interest."""

    return app
