"""Every place that names the supported versions names the same: classifiers, matrix, locks, workflow and README."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PYTHONS = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if re.search(r":: Python :: 3\.\d", line)]


def locks() -> dict[str, str]:
    """What noxfile.py says, which is read and not run: nox is in an environment of its own."""
    for statement in ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "LOCKS":
            found: dict[str, str] = ast.literal_eval(statement.value)
            return found
    raise AssertionError("noxfile.py has no LOCKS")


def pinned(lock: str, package: str) -> str:
    text = (ROOT / "requirements" / f"{lock}.lock").read_text(encoding="utf-8")
    (version,) = re.findall(rf"^{package}==([0-9.]+)", text, re.MULTILINE)
    return str(version)


def test_workflow_runs_the_whole_matrix() -> None:
    """A push and a pull request run each Python of the classifiers with each FastAPI of the noxfile."""
    workflow: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    strategy = workflow["jobs"]["matrix"]["strategy"]
    assert strategy["matrix"] == {"python": PYTHONS, "fastapi": list(locks())}
    assert strategy["fail-fast"] is False


def test_oldest_python_is_the_bound() -> None:
    """The first of the classifiers is what `requires-python` asks for, and what the linters work after."""
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    assert tools["mypy"]["python_version"] == PYTHONS[0]
    assert tools["ruff"]["target-version"] == f"py{PYTHONS[0].replace('.', '')}"


@pytest.mark.parametrize(("fastapi", "lock"), locks().items())
def test_each_lock_has_its_fastapi(fastapi: str, lock: str) -> None:
    """A lock of the matrix has a patch of the FastAPI that it stands for; the newest is newer than any other."""
    version = pinned(lock, "fastapi")
    if fastapi != "newest":
        assert version.startswith(f"{fastapi}.")
        return
    others = [pinned(other, "fastapi") for other in locks().values() if other != lock]
    assert all(tuple(map(int, version.split("."))) > tuple(map(int, other.split("."))) for other in others)


def test_oldest_lock_has_the_lower_bounds() -> None:
    """The oldest of the matrix is the lower bound of each dependency that pyproject.toml declares."""
    bounds = dict(line.split(">=") for line in PROJECT["dependencies"])
    found = {name: pinned("oldest", name) for name in bounds}
    assert {name: version for name, version in found.items() if f"{version}.".startswith(f"{bounds[name]}.")} == found


def test_readme_names_the_versions() -> None:
    """The README says which Pythons and FastAPIs the suite runs on."""
    *others, last = PYTHONS
    *fastapis, newest = locks()
    assert newest == "newest"
    said = f"Python {', '.join(others)} or {last}, FastAPI {fastapis[0]} or newer"
    assert said in (ROOT / "README.md").read_text(encoding="utf-8")
