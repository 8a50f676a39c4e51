"""The ways in which users start an application, and what is found out about each: run once, looked at by many tests."""

from __future__ import annotations

import http.client
import json
import re
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from belvedere.logs import logconfig, logconfig_ini
from belvedere.settings import Settings
from tests.processes.crowd import Asked, crowd
from tests.processes.launch import Process, Server, launch, wait_for
from tests.processes.several import settled

SHOP = (Path(__file__).parent / "applications" / "shop.py").read_text()
REMOVED = (Path(__file__).parent / "applications" / "removed.py").read_text()
REQUESTS = 200
Line = dict[str, Any]

OPTIONS: Mapping[Server, tuple[str, ...]] = {
    "uvicorn": (),
    "gunicorn": ("--access-logfile", "-"),
    "granian": ("--access-log",),
    "hypercorn": ("--access-logfile", "-"),
}
"""What switches a server's own access lines on: there must be ours alone. uvicorn's are on."""

SUPERVISORS: Mapping[Server, re.Pattern[str]] = {
    "uvicorn": re.compile(
        r"(INFO|WARNING): +(Uvicorn running on|Started (parent|reloader) |Will watch for|Received SIGTERM|"
        r"Terminated child|Waiting for child|Stopping (parent|reloader) |WatchFiles detected)"
    ),
    "gunicorn": re.compile(r"\[[^]]+\] \[(?P<pid>\d+)\] \[INFO\] (?P<booting>Booting worker)?"),
    "granian": re.compile(
        r"\[INFO\] (Starting granian|Listening at|Spawning worker|Shutting down|Stopped worker|Granian shutdown)"
    ),
    "hypercorn": re.compile(r"(?!)"),
}
"""Lines of processes that have not loaded the application; each is a supervisor's, but for gunicorn's `Booting worker`,
which its worker writes before it loads."""


@dataclass(frozen=True)
class SetUp:
    """One way to start an application."""

    server: Server
    options: tuple[str, ...] = ()
    workers: int = 1
    preloads: bool = False
    """Whether the supervisor loads the application itself."""
    ends: int = 0
    """The exit code after SIGTERM."""

    @property
    def name(self) -> str:
        several = {"gunicorn": "-w"}.get(self.server, "--workers")
        worker = ("-k uvicorn_worker.UvicornWorker",) if self.server == "gunicorn" else ()
        return " ".join(
            (self.server, *worker, *((several, str(self.workers)) if self.workers > 1 else ()), *self.options)
        )

    @property
    def reloads(self) -> bool:
        return "--reload" in self.options

    @property
    def recycles(self) -> bool:
        return "--max-requests" in self.options


SETUPS = (
    SetUp("uvicorn", ends=-15),
    SetUp("uvicorn", workers=4),
    SetUp("uvicorn", ("--reload",)),
    SetUp("gunicorn", workers=2),
    SetUp("gunicorn", ("--preload",), workers=2, preloads=True),
    SetUp("gunicorn", ("--max-requests", "50"), workers=2),
    SetUp("granian"),
    SetUp("granian", workers=2),
    SetUp("hypercorn"),
    SetUp("hypercorn", workers=2),
)


@dataclass
class Written:
    """What the processes of one run wrote, and how they ended."""

    out: str
    err: str
    code: int
    pid: int
    asked: list[Asked] = field(default_factory=list)

    @property
    def texts(self) -> list[tuple[str, str]]:
        """Lines that are no JSON, each with the stream it came from."""
        streams = (("stdout", self.out), ("stderr", self.err))
        return [(name, line) for name, text in streams for line in text.splitlines() if _line(line) is None]

    @property
    def lines(self) -> list[Line]:
        """Lines that are JSON, of either stream; all of them should be on stdout."""
        found = [_line(line) for line in (*self.out.splitlines(), *self.err.splitlines())]
        return [line for line in found if line is not None]

    def events(self, event: str) -> list[Line]:
        return [line for line in self.lines if line["event"] == event]

    def of(self, request_id: str) -> list[Line]:
        return [line for line in self.lines if line.get("request_id") == request_id]

    def foreign(self, setup: SetUp) -> list[str]:
        """Lines that are no JSON, of processes that have loaded the application."""
        found = []
        for _, text in self.texts:
            match = SUPERVISORS[setup.server].match(text)
            known = match is not None and not setup.preloads
            if match is not None and "pid" in match.groupdict():
                known = known and (int(match["pid"]) == self.pid or bool(match["booting"]))
            if not known:
                found.append(text)
        return found


@dataclass
class Findings:
    """What was found out about a set-up."""

    served: Written
    configured: Written
    removed: dict[str, Any]
    bare: dict[str, Any]

    @property
    def access_lines(self) -> set[int]:
        """How many access lines requests have, the server's own included."""
        lines = Counter(line.get("request_id") for line in self.served.events("request_processed"))
        foreign = [line for line in self.served.lines if line["logger"].endswith("n.access")]
        return {lines[asked.answered_id] for asked in self.served.asked} | ({2} if foreign else set())

    @property
    def tracebacks(self) -> set[int]:
        """How many tracebacks requests that fail have, wherever they were written."""
        failing = [asked for asked in self.served.asked if asked.status == 500]
        written = self.served.out + self.served.err
        # The text of each exception is its own.
        return {len(re.findall(rf"RuntimeError: no stock of {asked.number}\b", written)) for asked in failing} | {
            sum("exception" in line for line in self.served.of(asked.answered_id)) for asked in failing
        }


def find(setup: SetUp, folder: Path) -> Findings:
    """Run a set-up with and without a logging configuration, with Belvedere taken off, and without it."""
    with ThreadPoolExecutor() as pool:
        served = pool.submit(_run, setup, _made(folder, "served"), REQUESTS)
        configured = pool.submit(_run, setup, _made(folder, "configured"), 8, *log_config(setup.server, folder))
        removed = pool.submit(_taken_off, setup, _made(folder, "removed"), observed=True)
        bare = pool.submit(_taken_off, setup, _made(folder, "bare"), observed=False)
    return Findings(served.result(), configured.result(), removed.result(), bare.result())


def log_config(server: Server, folder: Path) -> tuple[str, str]:
    """Write what `belvedere logconfig --server` prints, and return the option that names it."""
    settings = Settings(service="shop", environment="test")
    file = folder / f"{server}.logging"
    if server in {"uvicorn", "granian"}:
        file = file.with_suffix(".json")
        file.write_text(json.dumps(logconfig(settings)))
    else:
        file.write_text(logconfig_ini(settings))
    return "--log-config", str(file)


def _answers(process: Process, path: str) -> bool:
    try:
        return process.get(path).status == 200
    except (OSError, http.client.HTTPException):
        return False  # A worker that had taken the connection was just recycled.


def _run(setup: SetUp, folder: Path, requests: int, *options: str) -> Written:
    environment = {"ENVIRONMENT": "test", "BELVEDERE_HEALTH__DRAIN": "0"}
    given = (*setup.options, *OPTIONS[setup.server], *options)
    with launch(setup.server, folder, SHOP, *given, workers=setup.workers, environment=environment) as process:
        _all_started(process, setup.workers)
        asked = crowd(process.port, requests)
        for path in ("/warning", "/thread", "/ignored", "/task"):
            wait_for(partial(_answers, process, path), process)
        if setup.recycles and requests == REQUESTS:
            _all_started(process, setup.workers + 1)
            settled(process, setup.workers)
        if setup.reloads:
            with (folder / "shop.py").open("a") as source:
                source.write("\n# changed\n")
            _all_started(process, 2)
            wait_for(process.serves, process)
        code = process.stop()
        return Written(process.stdout, process.stderr, code, process.pid, asked)


def _taken_off(setup: SetUp, folder: Path, *, observed: bool) -> dict[str, Any]:
    """Take Belvedere off in every worker, and return what is left: states, and what a failing request then writes."""
    options = [*setup.options, *OPTIONS[setup.server]]
    if setup.recycles:
        options = [*setup.options[:-1], "10000", *OPTIONS[setup.server]]
    workers = min(setup.workers, 2)
    environment = {"OBSERVED": str(int(observed)), "BELVEDERE_HEALTH__DRAIN": "0"}
    with launch(setup.server, folder, REMOVED, *options, workers=workers, environment=environment) as process:
        states: dict[int, Any] = {}
        times: Counter[int] = Counter()

        def every_worker() -> bool:
            # The second time, the application has built its middleware again.
            state = process.get("/remove").json()
            pid = state.pop("pid")
            states[pid] = state
            times[pid] += 1
            return len(times) == workers and min(times.values()) > 1

        wait_for(every_worker, process)
        process.get("/failing")
        code = process.stop()
        after = [
            re.sub(r"\d+", "N", line.replace(str(folder), ""))
            for line in (process.stdout + process.stderr).splitlines()
            if _line(line) is None or not observed
        ]
        failing = [line for line in after if "/failing" in line or "RuntimeError" in line or "Traceback" in line]
    return {"states": list(states.values()), "failing": sorted(failing), "code": code}


def _all_started(process: Process, times: int) -> None:
    wait_for(lambda: process.stdout.count('"event":"application_started"') >= times, process)


def _made(folder: Path, name: str) -> Path:
    made = folder / name
    made.mkdir()
    return made


def _line(text: str) -> Line | None:
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) else None
