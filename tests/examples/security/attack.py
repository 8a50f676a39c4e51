"""The Scholarship API as a process of its own, and what attackers send to it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import sys
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scholarships.config import Config
from tests.examples.scholarships.identities import AUDIENCE, ISSUER, PUBLIC, SECRET, bearer
from tests.ports import free_port
from tests.processes import launch

ROOT = Path(__file__).parents[3]
PASSWORD = "Wq7-tulip-Harbour-29"
E_MAIL = "ada.lovelace@example.org"
ORIGIN = "https://www.example.org"
FREE = '{"search": "999999999/minute", "auth": "999999999/minute", "write": "999999999/minute"}'
DEADLINE = 60.0


@dataclass
class Target:
    """A service that runs."""

    process: launch.Process
    state: Path
    """Where its journal is."""

    def ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None, user: str = ""
    ) -> launch.Answer:
        """Send a request, as a user if one is named; `body` is sent as it is, or as JSON."""
        sent = dict(headers or {}) | (bearer(user) if user else {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        assert body is None or isinstance(body, bytes)
        return self.process.get(path, sent, method=method, body=body)

    def sign_in(self, username: str, password: str) -> launch.Answer:
        """Send the form for a token."""
        form = urllib.parse.urlencode({"username": username, "password": password}).encode()
        return self.ask("POST", "/auth/token", form, {"Content-Type": "application/x-www-form-urlencoded"})

    def raw(self, *pieces: bytes) -> bytes:
        """Send bytes one after the other, until there is an answer, and return it with what was left unsent."""
        with socket.create_connection(("127.0.0.1", self.process.port), timeout=DEADLINE) as connection:
            self.sent = 0
            for piece in pieces:
                try:
                    connection.sendall(piece)
                except OSError:  # it has hung up
                    break
                self.sent += len(piece)
                if select.select([connection], [], [], 0.02)[0]:
                    break
            answer = b""
            with contextlib.suppress(ConnectionError):
                while chunk := connection.recv(65_536):
                    answer += chunk
            return answer

    def peak(self) -> int:
        """Return the most memory that it has had, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024

    def written(self) -> str:
        """Return all that it has written to its standard output and error."""
        return self.process.stdout + self.process.stderr


@contextmanager
def target(folder: Path, database: str) -> Iterator[Target]:
    """Run the service by uvicorn on a database; in the end, nothing secret may be in what it wrote."""
    port = free_port()
    state = folder / "state"
    variables = {
        "DATABASE_URL": database,
        "DEMO_PASSWORD": PASSWORD,
        "JWT_ISSUER": ISSUER,
        "JWT_AUDIENCE": AUDIENCE,
        "JWT_KEYS": json.dumps({"2027-01": SECRET, "2026-07": PUBLIC}),
        "CORS_ORIGINS": ORIGIN,
        "RATE_LIMITS": FREE,
        "XDG_STATE_HOME": str(state),
        "PYTHONPATH": os.pathsep.join([str(ROOT / "examples"), os.environ.get("PYTHONPATH", "")]),
    }
    known = {name.upper() for name in Config.model_fields}
    settings = {name: value for name, value in os.environ.items() if name not in known} | variables
    command = [sys.executable, "-m", "uvicorn", "scholarships.main:app", "--port", str(port), "--no-access-log"]
    with launch.running(command, folder, settings, port) as process:
        launch.wait_for(process.serves, process)
        found = Target(process, state)
        yield found
        assert process.serves()
        process.stop()
        leaked(found.written())


def leaked(text: str, *more: str) -> None:
    """Fail where a text has a secret in it."""
    token = bearer("admin")["Authorization"].partition(" ")[2]
    signature = token.rpartition(".")[2]
    for secret in (PASSWORD, SECRET, token, signature, "PRIVATE KEY", E_MAIL, *more):
        assert secret not in text, f"{secret!r} in what was written"


def rows(answer: launch.Answer) -> list[dict[str, Any]]:
    """Return the items of a list."""
    assert answer.status == 200, answer.body
    items: list[dict[str, Any]] = answer.json()["items"]
    return items
