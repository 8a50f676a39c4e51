"""Each server that users run answers, with one worker and with two, and ends by SIGTERM."""

from pathlib import Path

import pytest

from tests.processes.launch import Server, launch, wait_for

SHOP = """
import belvedere
from fastapi import FastAPI

app = FastAPI(title="Shop")
belvedere.observe(app)

@app.get("/orders/{number}")
async def order(number: int):
    return {"number": number}
"""


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("server", ["uvicorn", "gunicorn", "granian", "hypercorn"])
def test_it_answers_and_ends(server: Server, workers: int, tmp_path: Path) -> None:
    """An order is read under every server, and SIGTERM ends all of its processes."""
    with launch(server, tmp_path, SHOP, workers=workers) as process:
        # All of them: granian loses a SIGTERM that comes while a worker starts, with any application, and waits for it
        # without end.
        started = "Started worker-" if server == "granian" else '"application_started"'
        wait_for(lambda: process.stdout.count(started) == workers, process)
        assert process.get("/orders/7").json() == {"number": 7}
        assert process.stop() in {0, -15}
    assert not process.serves()
