"""`make load` measures what it says: what is without Belvedere is without it, and all rows answer the same requests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_a_short_run_prints_table_and_bounds(postgres_url: str) -> None:
    """One worker, one second a row: no request fails, each row logs as it should, and each bound gets its verdict."""
    if shutil.which("wrk") is None and not os.environ.get("REQUIRE_SERVERS"):
        pytest.skip("wrk is not installed; `make services` installs it")
    environment = {"DATABASE_URL": postgres_url} | {
        name: value for name, value in os.environ.items() if not name.startswith("COV")
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.scholarships", "--seconds=1", "--workers=1", "--connections=2"],
        cwd=ROOT,
        env={**environment, "PYTHONPATH": f"{ROOT / 'examples'}:{ROOT}:{environment.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split("|")[1].strip() for line in done.stdout.splitlines() if line.startswith("| ")]
    observed = [row for row in rows[1:] if "without" not in row]
    assert rows[1:3] == ["without Belvedere", "without, measured again (the noise)"]
    assert observed
    for row in observed:
        for bound in ("p99 below 1 s", "less than 5 ms added to the median", "less than 3% CPU of a request"):
            assert f" {row}: {bound}: " in done.stdout
