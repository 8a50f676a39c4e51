"""What servers print to stderr past every logger: lines, in the processes where they do that."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.logs.lines import Line, parsed

CHILD = """
import multiprocessing, sys

def child(how):
    import belvedere
    from fastapi import FastAPI
    app = FastAPI()
    before = sys.stderr
    observability = belvedere.observe(app, settings=belvedere.Settings(service="shop", environment="test"))
    print("the application's own", file=sys.stderr)
    if how == "removed":
        observability.remove()
        assert sys.stderr is before
    if how == "exit":
        sys.exit("cannot go on")
    raise LookupError("lost")

if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=child, args=(sys.argv[1],), name="worker")
    process.start()
    process.join()
    sys.exit(process.exitcode)
"""


def ended(folder: Path, how: str) -> tuple[list[Line], str]:
    (folder / "program.py").write_text(CHILD)
    command = [sys.executable, "program.py", how]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 1
    return parsed(done.stdout), done.stderr


def test_what_ends_a_worker_is_one_line(tmp_path: Path) -> None:
    """`multiprocessing` prints the exception past `sys.excepthook`; what the application prints stays where it was."""
    (line,), errors = ended(tmp_path, "raise")
    assert errors == "the application's own\n"
    assert (line["level"], line["event"], line["process_name"]) == ("critical", "uncaught_exception", "worker")
    assert line["exception"].endswith("\nLookupError: lost")


def test_the_reason_of_an_exit_is_a_line(tmp_path: Path) -> None:
    """`sys.exit("text")` in a worker is an error with that text."""
    (line,), errors = ended(tmp_path, "exit")
    assert errors == "the application's own\n"
    assert (line["level"], line["event"]) == ("error", "cannot go on")


def test_after_remove_it_is_printed(tmp_path: Path) -> None:
    """With the last application, stderr is what it was."""
    lines, errors = ended(tmp_path, "removed")
    assert lines == []
    assert errors.startswith("the application's own\nProcess worker:\nTraceback (most recent call last):\n")


GUNICORN = """
import sys
import belvedere
from fastapi import FastAPI

sys.modules["gunicorn.arbiter"] = sys
belvedere.observe(FastAPI(), settings=belvedere.Settings(service="shop", environment="test"))
import logging
logging.getLogger("gunicorn.error").addHandler(logging.StreamHandler())  # the stand-in is a console as well
printing = {"__name__": "gunicorn.arbiter", "sys": sys, "logging": logging}
exec('''
for told in (True, False):
    try:
        1 / 0
    except ZeroDivisionError as error:
        if told:
            logging.getLogger("gunicorn.error").exception("Exception in worker process")
        print("%s" % error, file=sys.stderr)
print("Error: reloading failed", file=sys.stderr)
''', printing)
"""


def test_what_gunicorn_has_logged_it_does_not_print_again() -> None:
    """Its worker logs why it cannot start, and prints it; some reasons it prints alone."""
    done = subprocess.run([sys.executable, "-c", GUNICORN], capture_output=True, text=True, timeout=240, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["event"], "exception" in line) for line in lines] == [
        ("Exception in worker process", True),
        ("uncaught_exception", True),
        ("Error: reloading failed", False),
    ]


@pytest.mark.parametrize("attribute", ["fileno", "isatty", "encoding"])
def test_it_is_stderr_in_all_else(attribute: str) -> None:
    """Whatever is asked of it, the stream answers."""
    from belvedere.logs.stderr import StandardError

    assert getattr(StandardError(sys.__stderr__), attribute) == getattr(sys.__stderr__, attribute)
