"""What Python prints by itself: a line of the log while an application is observed, and as before afterwards."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from belvedere.logs import hooks
from tests.logs.conftest import Start
from tests.logs.lines import Line, parsed

SETTINGS = 'belvedere.Settings(service="shop", environment="test")'
BEGIN = f"""
import sys, threading, warnings
import belvedere
from fastapi import FastAPI

app = FastAPI()
before = sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning, sys.stderr
observability = belvedere.observe(app, settings={SETTINGS})

class Broken:
    def __del__(self):
        raise ValueError("cannot be taken apart")

def fail():
    raise LookupError("lost")

def quit():
    raise SystemExit(3)

def happen():
    warnings.warn("old ways")
    for target in (fail, quit):
        thread = threading.Thread(target=target, name=target.__name__)
        thread.start()
        thread.join()
    Broken()
"""


def ran(folder: Path, program: str) -> tuple[int, list[Line], str]:
    file = folder / "program.py"
    file.write_text(BEGIN + program)
    done = subprocess.run(
        [sys.executable, str(file)], cwd=folder, capture_output=True, text=True, timeout=240, check=False
    )
    return done.returncode, parsed(done.stdout), done.stderr


def test_what_python_prints_becomes_lines(tmp_path: Path) -> None:
    """Warnings, exceptions of threads, of `__del__`, and the one that ends the process: each is one line."""
    code, lines, errors = ran(tmp_path, "happen()\n1 / 0\n")
    assert (code, errors) == (1, "")
    assert [(line["level"], line["logger"], line["event"]) for line in lines] == [
        ("warning", "py.warnings", "old ways"),
        ("error", "belvedere", "uncaught_exception"),
        ("error", "belvedere", "ignored_exception"),
        ("critical", "belvedere", "uncaught_exception"),
    ]
    assert lines[0]["category"] == "UserWarning"
    assert lines[0]["place"].startswith(f"{tmp_path}/program.py:")
    assert (lines[1]["thread_name"], lines[3]["thread_name"]) == ("fail", "MainThread")
    assert lines[2]["where"].startswith("Exception ignored in: <function Broken.__del__ at ")
    assert [line["exception"].rpartition("\n")[2] for line in lines[1:]] == [
        "LookupError: lost",
        "ValueError: cannot be taken apart",
        "ZeroDivisionError: division by zero",
    ]


def test_whoever_runs_a_script_sees_why_it_ended(tmp_path: Path) -> None:
    """With stdout in a file and stderr in a terminal, Python's own text is there as well."""
    (tmp_path / "program.py").write_text(BEGIN + "1 / 0\n")
    terminal, end = pty.openpty()
    command = [sys.executable, "program.py"]
    environment = {**os.environ, "PYTHON_COLORS": "0"}  # from 3.13 on, where TERM names a terminal that has them
    try:
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=end, timeout=240, check=False
        )
        shown = os.read(terminal, 65536).decode()
    finally:
        os.close(end)
        os.close(terminal)
    assert "ZeroDivisionError: division by zero" in shown
    assert [line["event"] for line in parsed(done.stdout)] == ["uncaught_exception"]


def test_afterwards_python_prints_again(tmp_path: Path) -> None:
    """`remove()` puts every hook back, and whoever kept one of ours gets what Python does."""
    code, lines, errors = ran(
        tmp_path,
        """
ours = sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning
observability.remove()
assert (sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning, sys.stderr) == before
happen()
sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning = ours
happen()
1 / 0
""",
    )
    assert (code, lines) == (1, [])
    texts = ("UserWarning: old ways", "LookupError: lost", "ValueError: cannot be taken apart", "ZeroDivisionError: ")
    assert [errors.count(text) for text in texts] == [1, 2, 2, 1]  # the same warning from the same place is shown once


def test_hooks_of_others_stay(tmp_path: Path) -> None:
    """Whoever has set a hook before keeps it; one that is set later is not taken away either."""
    _, lines, _ = ran(
        tmp_path,
        """
observability.remove()
def theirs(*args): ...
sys.excepthook = threading.excepthook = theirs
observability = belvedere.observe(app, settings=belvedere.Settings(service="shop", environment="test"))
assert sys.excepthook is threading.excepthook is theirs
sys.unraisablehook = warnings.showwarning = theirs
observability.remove()
assert sys.unraisablehook is warnings.showwarning is theirs
""",
    )
    assert lines == []


def test_recorded_warnings_stay_recorded(start: Start) -> None:
    """Within `catch_warnings(record=True)`, as in pytest's tests, the list gets them."""
    with warnings.catch_warnings(record=True) as recorded:
        warnings.simplefilter("always")
        start()
        warnings.warn("old ways", stacklevel=1)
    assert [str(warning.message) for warning in recorded] == ["old ways"]


def test_a_warning_for_a_file_goes_there(tmp_path: Path) -> None:
    """Who shows a warning in a file of its own has it there alone."""
    program = """
with open("warnings", "w") as file:
    warnings.showwarning("old ways", UserWarning, "shop.py", 7, file)
"""
    assert ran(tmp_path, program) == (0, [], "")
    assert (tmp_path / "warnings").read_text().startswith("shop.py:7: UserWarning: old ways")


class OddError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


def test_what_cannot_be_logged_is_printed(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    """An exception without a text is Python's own to print; an object without one has its class's name."""
    start()
    hooks._uncaught(OddError, OddError(), None)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "OddError" in captured.err
    unraisable: Any = type("Unraisable", (), {"exc_value": KeyError("k"), "err_msg": None, "object": OddError()})
    hooks._ignored(unraisable)
    assert json.loads(capsys.readouterr().out)["where"] == "Exception ignored in: <OddError>"
