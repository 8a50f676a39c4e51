"""Processes that an endpoint starts by `multiprocessing`'s `spawn`: they load the application, and serve nothing."""

from __future__ import annotations

import json
from pathlib import Path

from tests.processes.launch import launch

SHOP = """
import logging
import multiprocessing
import sys

from fastapi import FastAPI

import belvedere

app = FastAPI(title="shop")
obs = belvedere.observe(app)
done = belvedere.counter("shop_done_total", "Done.")


def work(request_id):
    logging.getLogger("child").info("without an id")
    belvedere.set_request_id(request_id)
    belvedere.get_logger("child").info("with one")
    done.inc()
    raise LookupError("how it ends")


@app.get("/spawn")
def spawn():
    child = multiprocessing.get_context("spawn").Process(target=work, args=(belvedere.request_id(),), name="child")
    child.start()
    child.join()
    done.inc()
    logging.getLogger("parent").info("joined")
    return child.exitcode
"""


def test_children_of_a_worker(tmp_path: Path) -> None:
    """Their lines are JSON, each once, with the id that they are handed; how one ends is told, and the worker's figures
    and health stay its own."""
    with launch("uvicorn", tmp_path, SHOP, environment={"BELVEDERE_ENVIRONMENT": "local"}) as process:
        answer = process.get("/spawn", {"X-Request-ID": "theirs"})
        assert (answer.status, answer.json()) == (200, 1)
        metrics = process.get("/metrics").body.decode()
        assert process.get("/readyz").status == 200
        assert process.stop() == -15
    assert "shop_done_total 1.0" in metrics
    lines = [json.loads(line) for line in process.stdout.splitlines()]
    told = [
        (one["logger"], one["event"], one.get("request_id")) for one in lines if one["logger"] in {"child", "parent"}
    ]
    assert told == [("child", "without an id", None), ("child", "with one", "theirs"), ("parent", "joined", "theirs")]
    (ended,) = [one for one in lines if "LookupError" in one.get("exception", "")]
    assert (ended["event"], ended["level"]) == ("uncaught_exception", "critical")
    assert process.stderr == ""
