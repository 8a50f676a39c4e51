"""`docs/edge-cases.md` tells the truth: what it names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
LATER = ("with the stack",)


def rows() -> list[list[str]]:
    """Return the cells of every row of every table."""
    lines = (ROOT / "docs" / "edge-cases.md").read_text().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return [row for row in cells if row[0] not in {"Behaviour", "---"}]


def test_every_test_of_the_table_exists() -> None:
    """Each `path::name` is a test function of that file."""
    named = {name for _, tests in rows() for name in re.findall(r"`([^`]+::[^`]+)`", tests)}
    missing = set()
    for name in named:
        path, _, function = name.partition("::")
        source = (ROOT / path).read_text() if (ROOT / path).exists() else ""
        found = {
            node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        if function not in found:
            missing.add(name)
    assert missing == set()


def test_every_row_has_a_test_or_says_when() -> None:
    """A row names a test, or the later work that its behaviour belongs to."""
    assert rows()
    for behaviour, tests in rows():
        assert "`tests/" in tests or tests in LATER, behaviour
