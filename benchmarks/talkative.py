"""A service that says as much as it is asked for: `uvicorn benchmarks.talkative:app`."""

from __future__ import annotations

import itertools
import logging
import os

from fastapi import FastAPI

import belvedere

app = FastAPI(title="Talkative")
log = belvedere.get_logger("talkative")
_numbers = itertools.count()


@app.get("/say/{lines}")
async def say(lines: int, size: int) -> int:
    """Log so many lines of about `size` bytes, numbered through in each process."""
    for _ in range(lines):
        # A text longer than 64 KiB would be cut.
        texts = {f"text{n}": "x" * min(size - at, 50_000) for n, at in enumerate(range(0, size, 50_000))}
        log.info("said", number=next(_numbers), pid=os.getpid(), **texts)
    return os.getpid()


@app.get("/whisper")
async def whisper() -> int:
    """Log by both kinds of loggers what nobody hears by default."""
    logging.getLogger("whisper.standard").debug("whispered", extra={"pid": os.getpid()})
    log.debug("whispered", pid=os.getpid())
    return os.getpid()


belvedere.observe(app)
