"""A real server, on a real pipe: every line of the process is one of ours, and no request has two."""

from __future__ import annotations

import contextlib
import http.client
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.logs.lines import Line, parsed

APPLICATION = """
import logging, sys
import belvedere
from fastapi import FastAPI, WebSocket

app = FastAPI(title="Shop")
belvedere.observe(app, settings=belvedere.Settings(environment="test", health={"drain": 0}))

@app.get("/orders/{number}")
async def order(number: int):
    logging.getLogger("app").info("looked up %d", number)
    belvedere.get_logger("app").info("order_read", number=number)
    return {}

@app.get("/failing")
async def failing():
    raise RuntimeError("no stock for ada@example.com")

@app.websocket("/live")
async def live(websocket: WebSocket):
    await websocket.accept()
    await websocket.close()

if __name__ == "__main__":
    import uvicorn
    uvicorn.run(app, fd=int(sys.argv[1]))
"""


def serve(folder: Path, *command: str) -> tuple[list[Line], str]:
    """Run a server, send it two requests and a WebSocket, stop it by SIGTERM; return its lines, and its stderr."""
    (folder / "shop.py").write_text(APPLICATION)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        number = listening.fileno()
        with (
            subprocess.Popen(
                [sys.executable, *(part.format(fd=number) for part in command)],
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[number],
            ) as server,
            contextlib.ExitStack() as whatever_happens,
        ):
            whatever_happens.callback(server.kill)
            # Connections wait in the queue of the socket until the server takes them.
            for path in ("/orders/7?token=secret", "/failing"):
                connection = http.client.HTTPConnection("127.0.0.1", listening.getsockname()[1], timeout=60)
                connection.request("GET", path, headers={"X-Request-ID": f"id{path[:4].replace('/', '-')}"})
                connection.getresponse().read()
                connection.close()
            address = f"ws://127.0.0.1:{listening.getsockname()[1]}/live?token=secret"
            with connect(address, proxy=None) as live, contextlib.suppress(ConnectionClosed):
                live.recv()
            server.send_signal(signal.SIGTERM)
            out, err = server.communicate(timeout=60)
    return parsed(out), err.decode()


def of(lines: list[Line], **known: Any) -> list[Line]:
    return [line for line in lines if known.items() <= line.items()]


COMMANDS = pytest.mark.parametrize(
    "command",
    [("-m", "uvicorn", "shop:app", "--fd", "{fd}"), ("shop.py", "{fd}")],
    ids=["uvicorn shop:app", "uvicorn.run(app)"],
)


@COMMANDS
def test_each_request_has_one_access_line_and_one_traceback(tmp_path: Path, command: tuple[str, ...]) -> None:
    """The server's own access line and its own report of the exception are not written as well, nor any query."""
    lines, errors = serve(tmp_path, *command)
    assert {(line["service"], line["environment"]) for line in lines} == {("shop", "test")}

    first = of(lines, request_id="id-ord")
    assert [(line["logger"], line["event"]) for line in first] == [
        ("app", "looked up 7"),
        ("app", "order_read"),
        ("belvedere.access", "request_processed"),
    ]
    assert (first[-1]["path"], first[-1]["endpoint"], first[-1]["status"]) == ("/orders/7", "/orders/{number}", 200)

    second = of(lines, request_id="id-fai")
    assert sorted(line["event"] for line in second) == ["request_processed", "unhandled_exception"]
    (failed,) = of(second, event="unhandled_exception")
    assert failed["exception"].endswith("\nRuntimeError: no stock for [redacted]")
    assert [line for line in lines if "exception" in line] == [failed]

    live = [line for line in lines if line.get("path") == "/live" or "WebSocket" in line["event"]]
    assert [(line["event"], line["method"], line["status"]) for line in live] == [
        ("request_processed", "WEBSOCKET", 101)
    ]
    assert "secret" not in str(lines)

    # The last line is written although the signal then ends the process on the spot.
    assert lines[-1]["event"].startswith("Finished server process")
    assert of(lines, logger="uvicorn.access") == []
    assert errors == ""


@COMMANDS
def test_a_server_writes_nothing_else(tmp_path: Path, command: tuple[str, ...]) -> None:
    """The application is loaded before uvicorn's first line, so that all of them are JSON."""
    lines, errors = serve(tmp_path, *command)
    assert errors == ""
    events = [line["event"] for line in lines]
    assert events[0].startswith("Started server process")
    assert {"application_started", "Application startup complete.", "Application shutdown complete."} <= set(events)
