"""Each server that users run answers, with one worker and with two, and ends by SIGTERM."""

from pathlib import Path

import pytest

from tests.processes.launch import Server, launch, wait_for

SHOP = """
import os

import belvedere
from fastapi import FastAPI

app = FastAPI(title="Shop")
belvedere.observe(app)

@app.get("/orders/{number}")
async def order(number: int):
    return {"number": number}

@app.get("/worker")
async def worker():
    return os.getpid()
"""


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("server", ["uvicorn", "gunicorn", "granian", "hypercorn"])
def test_it_answers_and_ends(server: Server, workers: int, tmp_path: Path) -> None:
    """An order is read under every server, by each of its workers, and SIGTERM ends all of its processes."""
    with launch(server, tmp_path, SHOP, workers=workers) as process:
        answered: set[int] = set()

        def all_answered() -> bool:
            answered.add(process.get("/worker").json())
            return len(answered) == workers

        # Granian loses a SIGTERM that comes before a worker serves, with any application, and waits for it without end;
        # its line "Started worker" comes a moment too early to tell.
        wait_for(all_answered, process)
        assert process.get("/orders/7").json() == {"number": 7}
        assert process.stop() in {0, -15}
    assert not process.serves()
