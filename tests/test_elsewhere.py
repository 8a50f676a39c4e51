"""Where the system has less than Linux, the application is served all the same."""

import subprocess
import sys

BARE = """
import os, random, signal, sys  # random looks for hooks of forks where there are forks
for name in ("fcntl", "termios", "resource", "pwd", "grp"):
    sys.modules[name] = None
for module, name in ((os, "geteuid"), (os, "register_at_fork"), (os, "posix_fallocate"), (signal, "SIGQUIT")):
    delattr(module, name)

import asyncio, multiprocessing
import belvedere
from fastapi import FastAPI

app = FastAPI(title="Shop")
orders = belvedere.counter("shop_orders_total", "Orders.")
belvedere.observe(app, settings=belvedere.Settings(logs=None))

@app.get("/orders")
async def order():
    orders.inc()
    return {}

async def get(path):
    sent = []
    async def receive():
        return {"type": "http.request"}
    async def send(message):
        sent.append(message)
    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b"", "client": None}
    await app(scope, receive, send)
    return sent[0]["status"], sent[-1]["body"].decode()

def serve():
    print(asyncio.run(get("/orders")))
    status, text = asyncio.run(get("/metrics"))
    print(status, [line for line in text.splitlines() if line.startswith(("shop_orders_total", "http_requests_total"))])

if __name__ == "__main__":
    # As a server starts its workers; forked, so that what is missing is missing there as well.
    worker = multiprocessing.get_context("fork").Process(target=serve)
    worker.start()
    worker.join()
    serve()
"""


def test_without_what_posix_alone_has() -> None:
    """It imports, serves and is scraped without locks, users and forks' hooks, alone and as one of several workers."""
    done = subprocess.run([sys.executable, "-c", BARE], capture_output=True, text=True, timeout=240, check=True)
    series = 'http_requests_total{method="GET",endpoint="/orders",status="200"}'
    assert done.stdout.splitlines() == [
        "(200, '{}')",
        f"200 ['{series} 1.0', 'shop_orders_total 1.0']",
        "(200, '{}')",
        f"200 ['{series} 1.0', 'shop_orders_total 1.0']",
    ]
    assert done.stderr == ""
