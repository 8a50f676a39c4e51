"""Where workers share what they count: nothing is left behind, and no place to write is no harm."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.processes.launch import launch, running, wait_for
from tests.processes.several import SHOP, Connection, connected, has_ended, left, left_by, started

READ_ONLY = "for f in /tmp /var/tmp $PWD; do mount --bind $f $f; mount -o remount,bind,ro $f; done"
"""Leaves no other place, as /tmp is the next."""


def test_what_a_crash_leaves_is_removed(tmp_path: Path) -> None:
    """A service killed at once leaves its files; the next start of any service removes them, and no living one's.

    The temporary folder, which nobody needs beside shared memory, stays empty.
    """
    folders = [tmp_path / name for name in ("crashed", "lives", "next")]
    for folder in folders:
        folder.mkdir()
    with launch("uvicorn", folders[1], SHOP, workers=2) as lives:
        started(lives, 2)
        with launch("uvicorn", folders[0], SHOP, workers=2) as crashed:
            started(crashed, 2)
            pids = [crashed.pid, *crashed.workers()]
            assert left(crashed)
            os.killpg(crashed.pid, signal.SIGKILL)
            crashed.ended()
        wait_for(lambda: all(has_ended(pid) for pid in pids), lives)
        # What was left may be gone already, if another test has started a service meanwhile.
        temporary = tmp_path / "temporary"
        temporary.mkdir()
        with launch("gunicorn", folders[2], SHOP, workers=2, environment={"TMPDIR": str(temporary)}) as process:
            started(process, 2)
            assert not left(crashed)
            assert left(lives)
            assert process.stop() in {0, -15}
            assert not list(temporary.glob("belvedere-*"))
        with connected(lives, 2) as connections:
            connections[0].get("/count/1")
            assert connections[1].requests() > 0
        assert lives.stop() in {0, -15}
        assert not left(lives)


def test_one_process_puts_nothing_on_disk(tmp_path: Path) -> None:
    """A single uvicorn shares with nobody."""
    with launch("uvicorn", tmp_path, SHOP) as process:
        connection = Connection(process.port)
        connection.get("/count/1")
        assert connection.requests() >= 1
        connection.close()
        assert not left(process)
        assert not left_by(os.getpid())
        assert process.stop() in {0, -15}


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None or sys.platform != "linux", reason="mounting needs root"
)
@pytest.mark.parametrize(
    "mounts",
    [
        "mount -t tmpfs -o ro tmpfs /dev/shm",
        "mount -t tmpfs -o size=4k,nr_inodes=99 tmpfs /dev/shm; head -c 4096 /dev/zero >/dev/shm/full",
    ],
    ids=["read-only", "full"],
)
def test_without_a_place_to_write(mounts: str, tmp_path: Path) -> None:
    """Where all is read-only or full it is served all the same, each worker by itself, and the log says so."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this container may not mount")
    port = free_port()
    (tmp_path / "shop.py").write_text(SHOP)
    serve = f"{sys.executable} -m uvicorn --host 127.0.0.1 --port {port} --workers 2 shop:app"
    command = ["unshare", "-m", "sh", "-ec", f"{mounts}; {READ_ONLY}; exec {serve}"]
    settings = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with running(command, tmp_path, settings, port) as process:
        wait_for(process.serves, process)
        started(process, 2)
        with connected(process, 2) as connections:
            for number, connection in enumerate(connections, start=1):
                for _ in range(number):
                    connection.get("/count/1")
            line = 'http_requests_total{endpoint="/count/{number}",method="GET",status="200"}'
            for number, connection in enumerate(connections, start=1):
                assert connection.samples("http_requests_total")[line] == number
        told = [json.loads(text) for text in process.stdout.splitlines() if '"application_starting"' in text]
        assert all("each worker by itself" in json.dumps(event) for event in told), told
        assert process.stop() in {0, -15}
        assert "internal_error" not in process.stdout
