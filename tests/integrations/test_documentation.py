"""The page about integrations says what is."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

from belvedere import integrations
from belvedere.conventions import IntegrationEvent

PAGE = (Path(__file__).parents[2] / "docs" / "integrations.md").read_text(encoding="utf-8")
TITLES = {
    "celery": "Celery",
    "sqlalchemy": "SQLAlchemy",
    "redis": "Redis",
    "httpx": "httpx",
    "s3": "S3",
    "elasticsearch": "Elasticsearch",
    "ml": "Machine learning",
    "sentry": "Sentry",
}


def test_every_event_is_on_the_page() -> None:
    """Each event that may be logged has a row."""
    events = {value for name, value in vars(IntegrationEvent).items() if not name.startswith("_")}
    assert {event for event in events if f"\n| `{event}` |" not in PAGE} == set()


@pytest.mark.parametrize("verb", integrations.__all__)
def test_every_argument_is_on_the_page(verb: str) -> None:
    """Each argument has a row, or shares one, in its library's section; each integration can be named."""
    section = PAGE.partition(f"\n## {TITLES[verb]}\n")[2].partition("\n## ")[0].partition("| --- |")[2]
    rows = [line.split("|")[1] for line in section.partition("\n\n")[0].splitlines() if line.startswith("| `")]
    call: Any = getattr(integrations, verb)
    named = (
        set(inspect.signature(call).parameters)
        - {"engine", "celery_app"}
        - ({"client"} if verb in {"redis", "elasticsearch"} else set())
    )
    assert {name.strip(" `") for row in rows for name in row.split(",")} == named
    assert "name" in named


def test_the_module_is_there_when_asked_for() -> None:
    """`belvedere.integrations` is there without being imported by name, and is not among what `*` brings."""
    import belvedere

    assert belvedere.integrations is integrations
    assert "integrations" not in belvedere.__all__
