"""The example's README tells the truth: its commands print what stands below them, and its tables are complete."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from scholarships.config import Config
from tests.examples.readme.replay import README, ROOT, demo, shown
from tests.test_readme import agrees

TEXT = README.read_text(encoding="utf-8")


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("bash")), reason="curl and bash are not installed")
def test_commands_print_what_is_shown(tmp_path: Path) -> None:
    """Typed in their order beside a demo, the commands print what the README shows, but for what `…` stands for."""
    replayed = shown(TEXT)
    assert len(replayed) > 20
    with demo(tmp_path) as shell:
        for command, expected in replayed:
            printed = ""
            for printed in shell.until(command):
                if agrees(expected, printed):
                    break
            assert agrees(expected, printed), f"$ {command}\n{printed}\n--- shown:\n{expected}"


def test_every_setting_is_in_the_table() -> None:
    """Each variable of the configuration has its row."""
    table = "\n".join(line for line in TEXT.splitlines() if line.startswith("| `"))
    assert [name for name in Config.model_fields if f"`{name.upper()}`" not in table] == []


def test_every_module_is_in_the_map() -> None:
    """Each module and folder of the service is in the table of what is where."""
    table = TEXT.partition("## Code")[2]
    modules = {path.name for path in README.parent.iterdir() if path.suffix == ".py" and path.name != "__init__.py"}
    folders = {f"{path.parent.name}/" for path in README.parent.glob("*/*.py")}
    assert [name for name in modules | folders if f"`{name}" not in table] == []


def test_links_lead_somewhere() -> None:
    """Each relative link names a file that is there."""
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", TEXT):
        assert (README.parent / target).exists(), target


def test_files_that_are_named_are_there() -> None:
    """Each path of the repository that is named exists."""
    for path in re.findall(r"`((?:tests|requirements|examples)/[\w./-]+)`", TEXT):
        assert (ROOT / path).exists(), path
