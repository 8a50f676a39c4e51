"""Real servers for the tests, from the machine's own packages: each on a port of its own, gone when the tests end."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.ports import free_port

DEADLINE = 120.0
"""Seconds that a server may take to start, and to stop."""


class AbsentError(Exception):
    """The program is not installed."""


@contextmanager
def postgres(connections: int = 100) -> Iterator[str]:
    """Run PostgreSQL without fsync, for so many connections; yield the async SQLAlchemy URL of an empty database."""
    with cluster(connections) as server:
        yield server.url


@contextmanager
def cluster(connections: int = 100) -> Iterator[Cluster]:
    """Run PostgreSQL without fsync, for so many connections; yield what can stop it and start it again."""
    debian = max(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]), default=None)
    programs = (debian or Path(_installed("postgres")).resolve()).parent
    with _folder() as folder:
        as_user: list[str] = []
        if os.geteuid() == 0:  # it refuses to run as root
            as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
            shutil.chown(folder, "postgres")
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"]
        initdb = [*as_user, f"{programs}/initdb", *options, f"{folder}/data"]
        subprocess.run(initdb, cwd=folder, stdout=subprocess.DEVNULL, check=True)
        server = Cluster(programs, folder, as_user, connections)
        server.start()
        try:
            yield server
        finally:
            server.stop(signal.SIGINT)  # fast shutdown: it does not wait for clients


class Cluster:
    """A PostgreSQL on a port of its own."""

    def __init__(self, programs: Path, folder: Path, as_user: Sequence[str], connections: int) -> None:
        self.port = free_port()
        self.url = f"postgresql+asyncpg://postgres@127.0.0.1:{self.port}/postgres"
        self._programs = programs
        self._folder = folder
        settings = [f"-cport={self.port}", "-clisten_addresses=127.0.0.1", "-cunix_socket_directories=", "-cfsync=off"]
        settings.append(f"-cmax_connections={connections}")
        self._command = [*as_user, f"{programs}/postgres", "-D", f"{folder}/data", *settings]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, on the data that it has, and return when it serves."""
        self._process = _started(self._command, self._folder, self._ready)

    def stop(self, number: signal.Signals = signal.SIGQUIT) -> None:
        """Stop it as a crash does (SIGQUIT is its immediate shutdown), or by another signal."""
        if self._process is not None:
            _end(self._process, number)
        self._process = None

    def pids(self) -> list[int]:
        """Return its processes, the one that makes the others first."""
        assert self._process is not None
        pid = self._process.pid
        return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]

    def _ready(self) -> bool:
        asked = [f"{self._programs}/pg_isready", "--quiet", "--host=127.0.0.1", f"--port={self.port}"]
        return subprocess.run(asked, check=False).returncode == 0


@contextmanager
def redis() -> Iterator[str]:
    """Run Redis, in memory alone; yield its URL."""
    server = _installed("redis-server")
    port = free_port()

    def ready() -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
    with _folder() as folder, _running([server, *options], folder, ready):
        yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def s3() -> Iterator[str]:
    """Run moto's server, which takes any credentials and keeps all in memory; yield its URL."""
    if importlib.util.find_spec("moto") is None:
        raise AbsentError("moto is not installed; it is in the dependency group `test`")
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with _folder() as folder, _running(command, folder, lambda: _listens(port)):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def rabbitmq() -> Iterator[str]:
    """Run RabbitMQ with a node, a port mapper and data of its own; yield its URL. It takes some seconds to start."""
    server = "/usr/lib/rabbitmq/bin/rabbitmq-server"
    if not Path(server).exists():
        server = _installed("rabbitmq-server")
    port, mapper = free_port(), free_port()

    def ready() -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                connection.settimeout(1)
                connection.sendall(b"AMQP\0\0\x09\x01")
                return connection.recv(1) == b"\x01"  # a method frame: Connection.Start
        except OSError:
            return False

    with _folder() as folder:
        environment = {
            "HOME": str(folder),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(mapper),
            "RABBITMQ_NODENAME": f"tests-{port}@localhost",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": f"{folder}/mnesia",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            # One that is not told so busily waits for work on every processor.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none +S 1:1",
        }
        (folder / "mapper").mkdir()
        (folder / "server").mkdir()
        # One that RabbitMQ starts by itself would outlive it.
        with (
            _running(["epmd"], folder / "mapper", lambda: _listens(mapper), environment),
            _running([server], folder / "server", ready, environment, signal.SIGKILL),
        ):
            yield f"amqp://guest:guest@127.0.0.1:{port}//"


@contextmanager
def haproxy(configuration: str, port: int) -> Iterator[None]:
    """Run HAProxy with this configuration, which binds `port`."""
    program = _installed("haproxy")

    with _folder() as folder:
        (folder / "haproxy.cfg").write_text(configuration)
        with _running([program, "-db", "-f", "haproxy.cfg"], folder, lambda: _listens(port)):
            yield


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def _running(
    command: Sequence[str],
    folder: Path,
    ready: Callable[[], bool],
    environment: Mapping[str, str] | None = None,
    number: signal.Signals = signal.SIGTERM,
) -> Iterator[None]:
    """Run `command` in `folder` from the moment it is `ready` to the end of the block."""
    process = _started(command, folder, ready, environment, number)
    try:
        yield
    finally:
        _end(process, number)


def _started(
    command: Sequence[str],
    folder: Path,
    ready: Callable[[], bool],
    environment: Mapping[str, str] | None = None,
    number: signal.Signals = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Run `command` in `folder`; return when it is `ready`, show its log if it never is."""
    log = folder / "log"
    settings = {**os.environ, **(environment or {})}
    with log.open("wb") as output:
        alone = number is signal.SIGKILL  # which then ends what it has started as well
        process = subprocess.Popen(
            command, cwd=folder, env=settings, stdout=output, stderr=output, start_new_session=alone
        )
    deadline = time.monotonic() + DEADLINE
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            _end(process, number)
            raise RuntimeError(f"it does not serve: {command}\n{log.read_text()[-2000:]}")
        time.sleep(0.05)
    return process


def _end(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send it the signal, and to those that it started as well where that is how it ends."""
    if number is signal.SIGKILL:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    try:
        process.wait(DEADLINE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def _folder() -> Iterator[Path]:
    """Make a folder in a place that any user may enter; pytest's own lie below a private one."""
    with tempfile.TemporaryDirectory(prefix="belvedere-tests-") as name:
        yield Path(name)


def _installed(program: str) -> str:
    # Debian keeps HAProxy where only the administrator looks.
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin")
    if found is None:
        raise AbsentError(f"{program} is not installed; `make services` installs it")
    return found
