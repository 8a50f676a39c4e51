"""Which of several processes listens on the port: the one that holds the lock, and the next when it lets go."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from belvedere.metrics.port import Claim, Port, claim
from belvedere.metrics.scrapes import reply
from tests.metrics.ports import get, refuses, until
from tests.ports import free_port

HOLDER = """
import sys, time
from pathlib import Path
from belvedere.metrics.port import Claim, Port
from belvedere.metrics.scrapes import reply

folder, number = Path(sys.argv[1]), int(sys.argv[2])
port = Port(number, {"/metrics": lambda _: reply(200, b"first\\n")}, Claim(number, lambda: folder))
port.start()
print(port.state, flush=True)
time.sleep(60)
"""


def test_another_process_takes_over_when_the_one_that_listens_is_killed(tmp_path: Path) -> None:
    """Exactly one listens; killed by kill -9, the other does within moments."""
    number = free_port()
    command = [sys.executable, "-c", HOLDER, str(tmp_path), str(number)]
    second = Port(number, {"/metrics": lambda _: reply(200, b"second\n")}, Claim(number, lambda: tmp_path))
    with subprocess.Popen(command, stdout=subprocess.PIPE) as first:
        try:
            assert first.stdout is not None
            assert first.stdout.readline() == b"open\n"
            second.start()
            assert second.state == "elsewhere"
            assert get(number).body == b"first\n"
            first.kill()
            until(lambda: second.state == "open")
            assert get(number).body == b"second\n"
        finally:
            first.kill()
            second.close()
    assert refuses(number)
    assert list(tmp_path.iterdir()) == []


def test_a_forked_process_does_not_keep_the_port() -> None:
    """A child that outlives this process' interest in the port, as of a process pool, holds neither lock nor socket."""
    number = free_port()
    port = Port(number, {}, Claim(number))
    port.start()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        try:
            os.write(writing, port.state.encode())
            time.sleep(60)
        finally:
            os._exit(0)
    try:
        assert os.read(reading, 100) == b"closed"
        assert port.state == "open"
        assert not refuses(number)
        port.close()
        assert refuses(number)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reading)
        os.close(writing)


def test_of_two_processes_one_has_the_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other gets it when it is released, and no file is left."""
    first, second = Claim(9100, lambda: tmp_path), Claim(9100, lambda: tmp_path)
    assert first()
    assert first()
    monkeypatch.setattr(claim, "_held", set())  # as it is in another process
    assert not second()
    assert Claim(9101, lambda: tmp_path)()
    first.release()
    first.release()
    assert second()
    second.release()


def test_two_applications_of_one_process_do_not_keep_each_other_waiting(tmp_path: Path) -> None:
    """Both have the claim: the second one finds the port itself taken, which is told."""
    number = free_port()
    first, second = (Port(number, {}, Claim(number, lambda: tmp_path)) for _ in range(2))
    first.start()
    second.start()
    assert (first.state, second.state) == ("open", "failed")
    second.close()
    first.close()


def test_a_lock_on_a_file_that_was_removed_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever held it before removes the file: then the lock is taken on the next one."""
    claimed = Claim(9100, lambda: tmp_path)
    flock = fcntl.flock

    def removed(file: int, operation: int) -> None:
        flock(file, operation)
        (tmp_path / "port-9100").unlink()

    monkeypatch.setattr(fcntl, "flock", removed)
    assert not claimed()
    monkeypatch.undo()
    assert claimed()
    claimed.release()


def test_without_a_place_for_the_file_everybody_may_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder, none that can be written to, or no locks there: the first one to listen wins."""
    assert Claim(9100)()
    assert Claim(9100, lambda: tmp_path / "absent")()

    def unknown(file: int, operation: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", unknown)
    assert Claim(9100, lambda: tmp_path)()


def test_a_worker_that_knows_of_no_folder_says_nothing_of_a_port_that_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is most likely another worker's."""
    monkeypatch.setattr(multiprocessing, "parent_process", object)
    with socket.create_server(("", free_port())) as taken:
        port = Port(taken.getsockname()[1], {}, Claim(taken.getsockname()[1]))
        port.start()
        assert port.state == "elsewhere"
        port.close()
