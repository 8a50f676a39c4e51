"""A rate over several workers is that of what all of them have counted together."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.processes.launch import launch, wait_for
from tests.processes.several import connected, end_by_force, started

MODELS = """
import os
import belvedere
from belvedere import integrations
from fastapi import FastAPI

app = FastAPI(title="Models")
ml = integrations.ml({"moderation": len})
belvedere.observe(app, ml)

@app.get("/pid")
async def pid():
    return os.getpid()

@app.get("/look/{hits}/{misses}")
async def look(hits: int, misses: int):
    cache = ml.cache("moderation")
    for _ in range(hits):
        cache.hit()
    for _ in range(misses):
        cache.miss()
"""


def test_cache_hit_rate(tmp_path: Path) -> None:
    """Whichever worker answers; neither the mean nor the last of their rates; and as it was when one is killed."""
    with launch("uvicorn", tmp_path, MODELS, workers=2) as process:
        started(process, 2)
        with connected(process, 2) as (one, other):
            assert one.samples("ml_cache_hit_rate") == {}
            one.get("/look/1/0")
            other.get("/look/1/6")
            expected = {'ml_cache_hit_rate{model="moderation"}': pytest.approx(2 / 8)}
            assert one.samples("ml_cache_hit_rate") == expected
            assert other.samples("ml_cache_hit_rate") == expected
            end_by_force(other.pid, process)
            wait_for(lambda: one.samples("ml_cache_hit_rate") == expected, process)
            one.get("/look/2/0")
            assert one.samples("ml_cache_hit_rate") == {'ml_cache_hit_rate{model="moderation"}': pytest.approx(4 / 10)}
        started(process, 3)
        assert process.stop() in {0, -15}
        assert "internal_error" not in process.stdout
