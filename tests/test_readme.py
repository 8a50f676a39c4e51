"""The README tells the truth: its code runs, and what it shows is what a run says now.

Each Python block begins with its file's name. It is served by a real uvicorn, and what follows it is replayed: the
commands of the console blocks in their order, whose output has to be the one that stands there; the lines of the JSON
blocks have to be among those that the server writes. What differs from run to run (times, ids, latencies) is masked;
`…` stands for anything.
"""

from __future__ import annotations

import http.client
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.process import VARIABLES

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
DEADLINE = 120.0
"""Seconds that a server may take for an answer, and to stop."""

_MASKED = [
    (re.compile(pattern, re.MULTILINE), mask)
    for pattern, mask in (
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", "<time>"),
        (r"^(date: )\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$", r"\1<date>"),
        (r"\b[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b", "<id>"),
        (r'("trace_id":)"[0-9a-f]{32}"', r'\1"<trace>"'),
        (r'("latency_ms":)\d+\.\d+', r"\1<latency>"),
        (r"^(\w+_seconds_sum\{.*\}|\w+_lag_seconds) \S+$", r"\1 <seconds>"),
        # How many requests took less than a bound is the machine's; that all of them are in the last bucket is not.
        (r'^(\w+_bucket\{.*le="(?!\+Inf")[^"]+"\}) \d+\.0$', r"\1 <count>"),
    )
]


class Section(NamedTuple):
    """A Python block and what stands after it, up to the next one."""

    name: str
    code: str
    commands: list[tuple[str, str]]
    """Each command with its output, in their order."""
    lines: list[str]
    """The log lines."""


def sections() -> Iterator[Section]:
    """Yield the Python blocks of the README, each with the blocks that show what came of it."""
    section: Section | None = None
    for language, block in re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL):
        if language == "python":
            if section is not None:
                yield section
            named = re.match(r"# (\w+)\.py\n", block)
            assert named is not None, f"a Python block begins with the name of its file:\n{block}"
            section = Section(named[1], block, [], [])
        elif language == "console":
            assert section is not None
            section.commands.extend(commands(block))
        elif language == "json":
            assert section is not None
            section.lines.extend(block.splitlines())
        else:
            assert language == "sh", f"nothing checks a block in {language}"
    if section is not None:
        yield section


def commands(block: str) -> Iterator[tuple[str, str]]:
    """Yield the commands of a console block, each with its output."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output.rstrip("\n")


def masked(text: str) -> str:
    """Return a text without what differs from run to run."""
    for pattern, mask in _MASKED:
        text = pattern.sub(mask, text)
    return text


def agrees(shown: str, actual: str) -> bool:
    """Whether a text is the one that is shown, but for what is masked and what `…` stands for."""
    pattern = ".*?".join(map(re.escape, masked(shown).split("…")))
    return re.fullmatch(pattern, masked(actual), re.DOTALL) is not None


def environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(VARIABLES)}
    return kept | {"XDG_STATE_HOME": str(folder)}


@contextmanager
def served(name: str, folder: Path, output: Path) -> Iterator[int]:
    """Serve the module's `app` by uvicorn as the README does, its lines going to `output`; yield the port."""
    with socket.socket() as listener, output.open("wb") as log:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)  # who asks waits in here until the server is ready
        options = ["--app-dir", str(folder), "--fd", str(listener.fileno())]
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", f"{name}:app", *options],
            cwd=folder,
            env=environment(folder),
            pass_fds=[listener.fileno()],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield listener.getsockname()[1]
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def run(command: str, folder: Path, port: int) -> str:
    """Run a command of the README, and return what it prints."""
    program, *arguments = shlex.split(command)
    if program == "curl":
        return curl(arguments, port)
    assert program == "belvedere", f"nothing replays {command}"
    program_line = [sys.executable, "-m", "belvedere", *arguments, "--app-dir", str(folder)]
    done = subprocess.run(
        program_line, cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=DEADLINE, check=True
    )
    return done.stdout.rstrip("\n")


def curl(arguments: Iterable[str], port: int) -> str:
    """Do what curl does with the few options that the README gives it."""
    method, path, headers, with_head = "GET", "", {}, False
    rest = iter(arguments)
    for argument in rest:
        if argument == "-X":
            method = next(rest)
        elif argument == "-H":
            name, _, value = next(rest).partition(": ")
            headers[name] = value
        elif argument in {"-s", "-si"}:
            with_head = argument == "-si"
        else:
            path = argument.removeprefix("http://127.0.0.1:8000")
            assert path.startswith("/"), f"nothing replays {argument}"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        body = answer.read().decode()
    finally:
        connection.close()
    head = [f"HTTP/1.1 {answer.status} {answer.reason}", *(f"{name}: {value}" for name, value in answer.getheaders())]
    return "\n".join([*head, "", body] if with_head else [body]).rstrip("\n")


SECTIONS = {section.name: section for section in sections()}


@pytest.fixture(scope="module", params=sorted(SECTIONS))
def replayed(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Section, list[str], list[str]]:
    """A section, what its commands print now, and the lines that its server wrote meanwhile."""
    section = SECTIONS[request.param]
    folder = tmp_path_factory.mktemp(section.name)
    (folder / f"{section.name}.py").write_text(section.code, encoding="utf-8")
    output = folder / "output"
    with served(section.name, folder, output) as port:
        outputs = [run(command, folder, port) for command, _ in section.commands]
    return section, outputs, output.read_text(encoding="utf-8").splitlines()


def test_commands_print_what_is_shown(replayed: tuple[Section, list[str], list[str]]) -> None:
    """Each command prints the output that stands below it, headers included."""
    section, outputs, _ = replayed
    assert section.commands
    for (command, shown), actual in zip(section.commands, outputs, strict=True):
        assert agrees(shown, actual), f"$ {command}\n{masked(actual)}\n--- shown:\n{masked(shown)}"


def test_log_lines_are_those_of_a_run(replayed: tuple[Section, list[str], list[str]]) -> None:
    """The log lines are among those that the server writes, in this order, whole."""
    section, _, lines = replayed
    assert section.lines
    rest = iter(lines)
    for shown in section.lines:
        assert any(agrees(shown, line) for line in rest), f"{shown}\n--- written:\n" + "\n".join(lines)


def test_nothing_shown_is_from_this_machine() -> None:
    """No path of the machine that the README was written on is in it."""
    assert re.findall(r"/(?:home|root|tmp|work|usr|Users)/\S*", TEXT) == []


def test_every_link_leads_somewhere() -> None:
    """Each relative link of the README and of the documents names a file that is there."""
    documents = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    broken = [
        f"{document.name}: {target}"
        for document in documents
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text(encoding="utf-8"))
        if "://" not in target and not (document.parent / target).exists()
    ]
    assert broken == []


def test_what_is_installed_is_what_is_used() -> None:
    """The extras that the text has installed for a block are those of the parts in the block."""
    named = re.search(
        r"`pip install '\.\[([\w,]+)\]' aiosqlite`\.\s+^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL
    )
    assert named is not None
    extras, code = named.groups()
    used = set(re.findall(r"\bintegrations\.(\w+)\(", code))
    used |= {extra for call, extra in (("Interactions(", "interactions"), ("RateLimiter(", "limits")) if call in code}
    assert set(extras.split(",")) == used
