"""A rolling restart: two instances of the reference service behind HAProxy, restarted in turn by SIGTERM, under load.

    python -m tests.processes.rolling [--seconds 30] [--drain 5 0]

HAProxy asks `/readyz` and retries nothing, so that nothing but the drain can save a request. It is HAProxy, as nginx
without a subscription asks its servers nothing: it learns of a stopped one by a request that fails.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests import servers
from tests.ports import free_port
from tests.processes.launch import DEADLINE, Process, running, wait_for

EXAMPLES = Path(__file__).parents[2] / "examples"
CLIENTS = 6
PAUSE = 0.01
"""Seconds between two requests of a client: a load that both instances bear on one core."""
REQUESTS: tuple[tuple[str, str, bytes | None], ...] = (
    ("GET", "/scholarships/1", None),
    ("GET", "/scholarships?limit=5", None),
    ("POST", "/search", json.dumps({"query": "climate research"}).encode()),
)
CONFIGURATION = """\
defaults
    mode http
    timeout connect 5s
    timeout check 5s
    timeout client 30s
    timeout server 30s
    retries 0
frontend service
    bind 127.0.0.1:{port}
    stats enable
    stats uri /-/haproxy
    default_backend instances
backend instances
    option httpchk GET /readyz
    http-check expect status 200
    default-server check inter {interval} fall 2 rise 1
    server one 127.0.0.1:{one}
    server two 127.0.0.1:{two}
"""
HEAD = """\
| `health.drain` | load | restarts | SIGTERM to end | requests | failed |
| --- | --- | --- | --- | --- | --- |"""


@dataclass
class Outcome:
    """What a rolling restart came to: answers by status, or by what came instead of one."""

    drain: float
    seconds: float = 0.0
    answers: Counter[str] = field(default_factory=Counter)
    stopped: list[float] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return self.answers.total()

    @property
    def failed(self) -> int:
        return self.requests - self.answers["200"]

    def row(self) -> str:
        """Return the outcome as a row of the table."""
        stopped = ", ".join(f"{seconds:.1f}" for seconds in self.stopped)
        instead = [f"{count} × {answer}" for answer, count in sorted(self.answers.items()) if answer != "200"]
        cells = [
            f"{self.drain:g} s",
            f"{self.seconds:.0f} s",
            f"{len(self.stopped)}",
            f"{stopped} s",
            f"{self.requests:,}",
            f"{self.failed}" + (f" ({', '.join(instead)})" if instead else ""),
        ]
        return f"| {' | '.join(cells)} |"


def roll(*, seconds: float, drain: float, interval: str = "1s", clients: int = CLIENTS) -> Outcome:
    """Put load on two instances, and restart each once meanwhile.

    Args:
        seconds: how long the load lasts at least.
        drain: what `health.drain` is, in seconds.
        interval: how often HAProxy asks each instance; the second refusal takes it out of traffic.
        clients: at a time.

    Raises:
        AbsentError: HAProxy is not installed.
    """
    outcome = Outcome(drain)
    names = {"one": free_port(), "two": free_port(), "port": free_port()}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        instances = {name: stack.enter_context(ExitStack()) for name in ("one", "two")}
        processes = {name: own.enter_context(_instance(folder, names[name], drain)) for name, own in instances.items()}
        for process in processes.values():
            wait_for(process.serves, process)
        stack.enter_context(servers.haproxy(CONFIGURATION.format(**names, interval=interval), names["port"]))
        began = time.monotonic()
        with _load(names["port"], outcome.answers, clients):
            for name, own in instances.items():
                time.sleep(seconds / 15)
                sent = time.monotonic()
                outcome.codes.append(processes[name].stop(signal.SIGTERM))
                outcome.stopped.append(time.monotonic() - sent)
                own.close()
                process = own.enter_context(_instance(folder, names[name], drain))
                _wait_until_up(names["port"], name, process)
            time.sleep(max(0.0, began + seconds - time.monotonic()))
        outcome.seconds = time.monotonic() - began
    return outcome


@contextmanager
def _instance(folder: str, port: int, drain: float) -> Iterator[Process]:
    """Run the reference service with its samples, as people start it."""
    settings = {
        **os.environ,
        "PYTHONPATH": str(EXAMPLES),
        "ENVIRONMENT": "staging",
        "PORT": str(port),
        "DATABASE_URL": f"sqlite:///{folder}/scholarships.db",
        # What is refused for being too much would be no answer of a restart.
        "RATE_LIMITS": '{"search": "100000/second", "auth": "100000/second", "write": "100000/second"}',
        "BELVEDERE_HEALTH__DRAIN": str(drain),
    }
    with running([sys.executable, "-m", "scholarships", "serve"], Path(folder), settings, port) as process:
        yield process


@contextmanager
def _load(port: int, answers: Counter[str], number: int) -> Iterator[None]:
    """Ask without end, on connections that are kept, and note every answer."""
    over = threading.Event()
    own = [Counter[str]() for _ in range(number)]
    clients = [threading.Thread(target=_client, args=(port, counted, over)) for counted in own]
    for client in clients:
        client.start()
    try:
        yield
    finally:
        over.set()
        for client in clients:
            client.join()
        for counted in own:
            answers.update(counted)


def _client(port: int, answers: Counter[str], over: threading.Event) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    asked = 0
    while not over.wait(PAUSE):
        method, path, body = REQUESTS[asked % len(REQUESTS)]
        asked += 1
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            response = connection.getresponse()
            response.read()
            answers[str(response.status)] += 1
        except (OSError, http.client.HTTPException) as error:
            answers[type(error).__name__] += 1
            connection.close()
    connection.close()


def _wait_until_up(port: int, name: str, process: Process) -> None:
    """Wait until HAProxy sends requests to an instance again."""

    def up() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
        connection.request("GET", "/-/haproxy;csv")
        lines = connection.getresponse().read().decode().splitlines()
        connection.close()
        return any(line.startswith(f"instances,{name},") and line.split(",")[17].startswith("UP") for line in lines)

    wait_for(process.serves, process)
    wait_for(up, process)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; return 1 if a request failed that the drain was there for."""
    parser = argparse.ArgumentParser(prog="rolling", description="A rolling restart behind HAProxy, under load.")
    parser.add_argument("--seconds", type=float, default=30.0, help="of load [30]")
    parser.add_argument("--drain", type=float, nargs="+", default=[5.0, 0.0], help="one run for each [5 0]")
    given = parser.parse_args(arguments)
    print(HEAD, flush=True)
    lost = False
    for drain in given.drain:
        try:
            outcome = roll(seconds=given.seconds, drain=drain)
        except servers.AbsentError as absent:
            print(absent, file=sys.stderr)
            return 2
        print(outcome.row(), flush=True)
        lost = lost or (drain > 0 and outcome.failed > 0)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
