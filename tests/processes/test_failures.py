"""When an application cannot start: the error is told, once by each process that fails, and as JSON."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.processes.launch import Process, Server, command, running, wait_for
from tests.processes.setups import OPTIONS, SUPERVISORS, Line, Written, log_config

SHOP = """
import contextlib
import belvedere
from fastapi import FastAPI

@contextlib.asynccontextmanager
async def lifespan(app):
    {starting}
    yield

app = FastAPI(title="Shop", lifespan=lifespan)
belvedere.observe(app)
{loading}
"""
WAYS = [
    ("uvicorn", 1, ()),
    ("uvicorn", 2, ()),
    ("gunicorn", 2, ()),
    ("gunicorn", 2, ("--preload",)),
    ("granian", 1, ()),
    ("hypercorn", 1, ()),
]


def tried(server: Server, workers: int, options: tuple[str, ...], folder: Path, port: int, *, until: str) -> Written:
    """Start an application that cannot, wait until the error is told, and stop what still runs."""
    given = (*options, *OPTIONS[server], *log_config(server, folder))
    arguments = command(server, port, *given, workers=workers)
    settings = {**os.environ, "ENVIRONMENT": "test", "PYTHONUNBUFFERED": "1"}
    with running(arguments, folder, settings, port) as process:
        told = re.compile(until)
        wait_for(lambda: ended(process) or told.search(process.stdout) is not None, process)
        if not ended(process):
            process.process.terminate()
    return Written(process.stdout, process.stderr, process.process.returncode, process.pid)


def ended(process: Process) -> bool:
    return process.process.poll() is not None


def by_process(written: Written, server: Server, error: str) -> list[Line]:
    """Return the lines that tell of an error, after looking at all others."""
    texts = [text for _, text in written.texts if not SUPERVISORS[server].match(text)]
    if server == "gunicorn":
        # Its supervisor may end by an exception of its own, which it prints.
        assert "shop.py" not in str(texts)
    else:
        assert texts == []
    return [line for line in written.lines if error in str(line)]


@pytest.mark.parametrize(("server", "workers", "options"), WAYS)
def test_a_lifespan_that_fails(server: Server, workers: int, options: tuple[str, ...], tmp_path: Path) -> None:
    """Each worker tells of it once, by `application_failed`, whatever its server makes of it."""
    (tmp_path / "shop.py").write_text(SHOP.format(starting='raise RuntimeError("no database")', loading=""))
    written = tried(server, workers, options, tmp_path, free_port(), until=r'"application_failed".*\n')
    lines = by_process(written, server, "no database")
    assert lines
    assert {(line["event"], line["phase"]) for line in lines} == {("application_failed", "startup")}
    assert all(line["exception"].endswith("\nRuntimeError: no database") for line in lines)
    assert len(lines) <= len(written.events("application_starting"))


@pytest.mark.parametrize(("server", "workers", "options"), WAYS)
def test_an_import_that_fails(server: Server, workers: int, options: tuple[str, ...], tmp_path: Path) -> None:
    """What is raised after `observe` is one line of each process that loads; with `--preload`, of the supervisor."""
    (tmp_path / "shop.py").write_text(SHOP.format(starting="pass", loading='raise RuntimeError("no settings")'))
    written = tried(server, workers, options, tmp_path, free_port(), until=r'"exception":".*no settings.*\n')
    lines = by_process(written, server, "no settings")
    assert lines
    told = "Exception in worker process" if server == "gunicorn" and not options else "uncaught_exception"
    assert {line["event"] for line in lines} == {told}
    assert all(line["exception"].endswith("\nRuntimeError: no settings") for line in lines)


def test_an_attribute_that_is_not_there(tmp_path: Path) -> None:
    """gunicorn's worker only prints why: that is a line, too."""
    (tmp_path / "shop.py").write_text(SHOP.format(starting="pass", loading="del app"))
    written = tried("gunicorn", 1, (), tmp_path, free_port(), until="Failed to find attribute.*\n")
    assert {line["event"] for line in by_process(written, "gunicorn", "Failed to find")} == {"uncaught_exception"}


@pytest.mark.parametrize("server", ["uvicorn", "gunicorn", "granian", "hypercorn"])
def test_a_port_that_is_taken(server: Server, tmp_path: Path) -> None:
    """Whoever binds tells of it: uvicorn has loaded the application by then, the supervisors of others have not."""
    (tmp_path / "shop.py").write_text(SHOP.format(starting="pass", loading=""))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        # Which uvicorn tells before it stops what it has started.
        until = '"application_stopped".*\n' if server == "uvicorn" else "(?i)in use.*\n"
        written = tried(server, 1, (), tmp_path, taken.getsockname()[1], until=until)
    if server == "uvicorn":
        (line,) = by_process(written, server, "in use")
        assert (line["level"], line["logger"]) == ("error", "uvicorn.error")
        assert [line["event"] for line in written.lines if "application_" in line["event"]] == [
            "application_starting",
            "application_started",
            "application_stopped",
        ]
    assert re.search("(?i)in use", written.out + written.err)
