"""`belvedere` itself: help, version, `python -m`, the missing extra."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

from tests.cli.conftest import Run

HELP = """\
Usage: belvedere [OPTIONS] COMMAND [ARGS]...

  Observability for FastAPI: look at what belvedere.observe makes of an
  application.

  Exit status: 0 done, 1 a finding, 2 bad use.

Options:
  --version   Show the version and exit.
  -h, --help  Show this message and exit.

Commands:
  logconfig  Print a logging configuration for the --log-config of a server.
  report     Tell of every feature of APP whether it is on, and why.
"""


def test_help(run: Run) -> None:
    """`--help` names every command in one line each."""
    result = run("--help")
    assert (result.exit_code, result.stdout) == (0, HELP)


def test_version(run: Run) -> None:
    """`--version` prints the version of the package."""
    result = run("--version")
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"belvedere {version('belvedere')}\n", "")


def test_an_unknown_command_is_bad_use(run: Run) -> None:
    """A command that does not exist ends with status 2."""
    result = run("reprot")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "No such command 'reprot'" in result.stderr


def test_as_a_module() -> None:
    """`python -m belvedere` is the same command."""
    done = subprocess.run(
        [sys.executable, "-m", "belvedere", "--version"], capture_output=True, text=True, timeout=240, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"belvedere {version('belvedere')}\n", "")


def test_without_the_extra() -> None:
    """Without click, one line says what to install."""
    program = "import sys; sys.modules['click'] = None; from belvedere.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=240, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "The command line of Belvedere needs an extra: pip install belvedere[cli]\n"


def test_another_missing_module_is_not_blamed_on_the_extra() -> None:
    """What else cannot be imported is shown as it is."""
    program = "import sys; sys.modules['belvedere.cli.report'] = None; from belvedere.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=240, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith("ModuleNotFoundError: import of belvedere.cli.report halted")
