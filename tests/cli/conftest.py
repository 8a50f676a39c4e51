"""Runs the command in this process, on modules that a test writes."""

from __future__ import annotations

import itertools
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from belvedere import Observability
from belvedere.cli.command import command

Module = Callable[[str], str]
Run = Callable[..., Result]

_numbers = itertools.count()


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Module]:
    """Write a module into the current directory and return its name, which no other test has."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)

    def write(source: str) -> str:
        name = f"application_{next(_numbers)}"
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source), encoding="utf-8")
        return name

    yield write
    for name in [name for name in sys.modules if name not in before and name.startswith("application_")]:
        for value in vars(sys.modules.pop(name)).values():
            observability = getattr(getattr(value, "state", None), "belvedere", None)
            if isinstance(observability, Observability):
                observability.remove()


@pytest.fixture
def run() -> Run:
    """Run `belvedere` with arguments; stdout and stderr are apart."""

    def invoke(*arguments: str, **environment: str | None) -> Result:
        return CliRunner(env=environment).invoke(command, arguments, prog_name="belvedere")

    return invoke
