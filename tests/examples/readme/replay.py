"""Replays what the example's README shows: a demo, and a shell that types the commands of the console blocks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scholarships.config import Config
from tests.ports import free_port
from tests.processes import launch
from tests.test_readme import commands

ROOT = Path(__file__).parents[3]
README = ROOT / "examples" / "scholarships" / "README.md"
PASSWORD = "tulip-harbour-29"
_END = "-- the end of an answer --"


def shown(text: str) -> list[tuple[str, str]]:
    """Return the commands of the console blocks, each with the output below it."""
    blocks = re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [command for block in blocks for command in commands(block)]


class Shell:
    """A shell that keeps its variables from one command to the next."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self._process = process
        self._port = port

    def run(self, command: str) -> str:
        """Return what a command prints."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        command = command.replace("127.0.0.1:8000", f"127.0.0.1:{self._port}")
        self._process.stdin.write(f"{command}\nprintf '\\n%s\\n' '{_END}'\n")
        self._process.stdin.flush()
        lines: list[str] = []
        while (line := self._process.stdout.readline()) != f"{_END}\n":
            assert line, f"the shell ended in {command}"
            lines.append(line)
        # Programs write carriage returns where protocols have them.
        return "".join(lines).replace("\r", "").rstrip("\n")

    def until(self, command: str, *, seconds: float = 60.0) -> Iterator[str]:
        """Yield what a command prints, again and again where it only reads: that may be about to be written."""
        deadline = time.monotonic() + seconds
        yield self.run(command)
        while not re.search(r" -(d|X|si) ", command) and time.monotonic() < deadline:
            time.sleep(0.2)
            yield self.run(command)


@contextmanager
def demo(folder: Path) -> Iterator[Shell]:
    """Run the demo on a new database, and a shell beside it."""
    port = free_port()
    known = {name.upper() for name in Config.model_fields}
    unset = {name: value for name, value in os.environ.items() if name not in known} | {
        "XDG_STATE_HOME": str(folder / "state"),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join([str(ROOT / "examples"), os.environ.get("PYTHONPATH", "")]),
    }
    settings = {
        **unset,
        "DATABASE_URL": f"sqlite:///{folder / 'scholarships.db'}",
        "DEMO_PASSWORD": PASSWORD,
        "PORT": str(port),
    }
    command = [sys.executable, "-m", "scholarships", "demo"]
    with launch.running(command, folder, settings, port) as process:
        launch.wait_for(process.serves, process)
        with subprocess.Popen(
            ["bash"], env=unset, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as shell:
            yield Shell(shell, port)
            shell.communicate()
        process.stop()
