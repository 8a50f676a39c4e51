"""An application as users have it: sync and async endpoints, both kinds of loggers, and what goes wrong in one."""

import asyncio
import gc
import logging
import threading
import warnings

from fastapi import FastAPI

import belvedere

app = FastAPI(title="Shop")
belvedere.observe(app)


@app.get("/orders/{number}")
async def order(number: int) -> dict[str, int]:
    logging.getLogger("shop").info("looking for %d", number)
    await asyncio.sleep(0.05)  # others come in between
    belvedere.get_logger("shop").info("order_read", number=number)
    return {"number": number}


@app.get("/sync/{number}")
def sync(number: int) -> dict[str, int]:
    logging.getLogger("shop").info("looking for %d", number)
    belvedere.get_logger("shop").info("order_read", number=number)
    return {"number": number}


@app.get("/failing/{number}")
async def failing(number: int) -> None:
    logging.getLogger("shop").info("looking for %d", number)
    await asyncio.sleep(0.05)
    raise RuntimeError(f"no stock of {number}")


@app.get("/warning")
async def warning() -> None:
    warnings.warn("old ways", UserWarning, stacklevel=1)


@app.get("/thread")
def thread() -> None:
    broken = threading.Thread(target=lambda: 1 / 0, name="counting")
    broken.start()
    broken.join()


class Broken:
    def __del__(self) -> None:
        raise ValueError("cannot be taken apart")


@app.get("/ignored")
async def ignored() -> None:
    Broken()


@app.get("/task")
async def task() -> None:
    async def fail() -> None:
        raise LookupError("nobody asks for it")

    started = asyncio.create_task(fail())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del started
    gc.collect()
