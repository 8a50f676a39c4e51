"""`belvedere logconfig`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from belvedere import Settings
from belvedere.logs import logconfig, logconfig_ini
from tests.cli.conftest import Run


def test_it_prints_what_the_environment_asks_for(run: Run) -> None:
    """The configuration is printed as JSON, after the settings of the environment."""
    result = run("logconfig", BELVEDERE_SERVICE="shop", BELVEDERE_LOGS__LEVEL="warning")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout) == logconfig(Settings(service="shop", logs={"level": "warning"}))
    assert result.stdout.endswith("}\n")


def test_it_writes_a_file(run: Run, tmp_path: Path) -> None:
    """`--out` writes the same into a file, and nothing to stdout."""
    file = tmp_path / "logging.json"
    result = run("logconfig", "--out", str(file))
    assert (result.exit_code, result.output) == (0, "")
    assert file.read_text(encoding="utf-8") == run("logconfig").stdout


@pytest.mark.parametrize("server", ["gunicorn", "hypercorn"])
def test_it_prints_what_the_server_reads(run: Run, server: str) -> None:
    """gunicorn and hypercorn read another form: the same levels and loggers as INI."""
    result = run("logconfig", "--server", server, BELVEDERE_SERVICE="shop", BELVEDERE_LOGS__LEVEL="warning")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == logconfig_ini(Settings(service="shop", logs={"level": "warning"}))
    for other in ("uvicorn", "granian"):
        assert run("logconfig", "--server", other).stdout == run("logconfig").stdout


def test_a_server_that_it_does_not_know(run: Run) -> None:
    """Another server is bad use; the message names those that are known."""
    result = run("logconfig", "--server", "daphne")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "'uvicorn', 'gunicorn', 'granian', 'hypercorn'" in result.stderr


def test_a_file_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    """A folder that does not exist is bad use, in one message."""
    file = tmp_path / "absent" / "logging.json"
    result = run("logconfig", "--out", str(file))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        f"Error: {file} cannot be written: No such file or directory. Name a file in a folder that exists.\n"
    )


def test_bad_settings(run: Run) -> None:
    """Settings that cannot be used are named, each with its variable."""
    result = run("logconfig", BELVEDERE_LOGS__LEVEL="loud")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "Error: Belvedere cannot start, its settings are wrong:\n"
        "  logs.level (BELVEDERE_LOGS__LEVEL): Input should be 'debug', 'info', 'warning', 'error' or 'critical'\n"
    )


def test_uvicorn_takes_it(run: Run, tmp_path: Path) -> None:
    """A server configured with it writes lines that look like those of an observed application."""
    file = tmp_path / "logging.json"
    run("logconfig", "--out", str(file), BELVEDERE_SERVICE="shop")
    program = (
        "import sys, uvicorn, logging\n"
        "uvicorn.Config('no:app', log_config=sys.argv[1])\n"
        "logging.getLogger('uvicorn.error').info('Started %s', 'server')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(file)], capture_output=True, text=True, timeout=240, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    line = json.loads(done.stdout)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "info",
        "logger": "uvicorn.error",
        "event": "Started server",
        "service": "shop",
        "environment": "local",
    }
