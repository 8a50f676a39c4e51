"""The page about interactions says what is."""

from __future__ import annotations

import inspect
from pathlib import Path

from belvedere import Interactions
from belvedere.conventions import InteractionEvent

PAGE = (Path(__file__).parents[2] / "docs" / "interactions.md").read_text(encoding="utf-8")


def test_every_event_is_on_the_page() -> None:
    """Each event that may be logged has a row."""
    events = {value for name, value in vars(InteractionEvent).items() if not name.startswith("_")}
    assert {event for event in events if f"\n| `{event}` |" not in PAGE} == set()


def test_every_argument_is_on_the_page() -> None:
    """Each argument has a row, or shares one."""
    rows = [
        line.split("|")[1]
        for line in PAGE.partition("## Arguments")[2].partition("\n## ")[0].splitlines()
        if line.startswith("| `")
    ]
    arguments = set(inspect.signature(Interactions).parameters)
    assert arguments == {name.strip(" `") for row in rows for name in row.split(",")}
