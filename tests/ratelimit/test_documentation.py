"""The page about limits says what is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from tests.conftest import or_skip
from tests.ratelimit.store import redis

PAGE = (Path(__file__).parents[2] / "docs" / "limits.md").read_text(encoding="utf-8")


def test_its_code_runs(tmp_path: Path) -> None:
    """The application of the page lets thirty requests of a minute through."""
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    with or_skip(), redis(tmp_path) as store:
        names: dict[str, Any] = {"__name__": "shop"}
        exec(compile(code.replace("redis://cache:6379/0", store.url), "shop.py", "exec", dont_inherit=True), names)  # noqa: S102
        try:
            with TestClient(names["app"]) as client:
                answers = [client.post("/search") for _ in range(31)]
        finally:
            names["app"].state.belvedere.remove()
    assert [answer.status_code for answer in answers] == [200] * 30 + [429]
    assert answers[-1].headers["RateLimit-Policy"] == '"30-per-minute";q=30;w=60'
