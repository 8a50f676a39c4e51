"""Pytest in a process of its own, on a file that a test wrote."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path


def run_pytest(folder: Path, source: str, *arguments: str) -> str:
    """Run pytest in a process of its own on one file, and return what it printed."""
    (folder / "test_application.py").write_text(textwrap.dedent(source), encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240, check=False)
    return done.stdout + done.stderr
