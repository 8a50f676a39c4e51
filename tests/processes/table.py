"""The table of `docs/servers.md`, a row for each set-up: `python -m tests.processes.table`."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from pathlib import Path

from tests.processes.setups import SETUPS, Findings, SetUp, find

DOCUMENT = Path(__file__).parents[2] / "docs" / "servers.md"
HEAD = (
    "set-up",
    "access lines per request",
    "tracebacks per failure",
    "text lines of processes with the application",
    "text lines of others",
    "text lines with `--log-config`",
    "ids",
    "after SIGTERM",
    "`remove()`",
)
_BETWEEN = re.compile(r"(<!-- set-ups:begin -->\n).*?(<!-- set-ups:end -->)", re.DOTALL)


def row(setup: SetUp, found: Findings) -> tuple[str, ...]:
    """Return what was found out about a set-up, as the table says it."""
    return (
        f"`{setup.name}`",
        _numbers(found.access_lines),
        _numbers(found.tracebacks),
        str(len(found.served.foreign(setup)) or "none"),
        " and ".join(f"on {stream}" for stream in sorted({stream for stream, _ in found.served.texts})) or "none",
        str(len(found.configured.texts) or "none"),
        "right" if ids_are_right(found) else "wrong",
        _end(found),
        "clean" if found.removed == found.bare else "leaves something",
    )


def ids_are_right(found: Findings) -> bool:
    """Whether each answer, access line, line of the application and traceback has its request's id, and no other's."""
    served = found.served
    answered = [asked.answered_id for asked in served.asked]
    kept = all(asked.id in {None, asked.answered_id} for asked in served.asked)
    number = {asked.answered_id: asked.number for asked in served.asked}
    own = True
    for identity, expected in number.items():
        lines = served.of(identity)
        read = {int(text) for line in lines for text in re.findall(r"(?:looking for|no stock of) (\d+)", str(line))}
        read |= {line["number"] for line in lines if "number" in line}
        read |= {int(line["path"].rpartition("/")[2]) for line in lines if "path" in line}
        events = Counter(line["event"] for line in lines)
        failing = int(events["unhandled_exception"] == 1)
        own = own and read == {expected} and len(lines) == 3 and events["order_read"] == 1 - failing
    return kept and own and len(set(answered)) == len(answered)


def written(text: str, rows: list[tuple[str, ...]]) -> str:
    """Return the document with the table in its place."""
    lines = [HEAD, ("---",) * len(HEAD), *rows]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return _BETWEEN.sub(lambda match: f"{match[1]}{table}{match[2]}", text)


def documented() -> dict[str, tuple[str, ...]]:
    """Return the rows of the document, each by its set-up."""
    match = _BETWEEN.search(DOCUMENT.read_text(encoding="utf-8"))
    lines = match[0].splitlines()[3:-1] if match else []
    rows = [tuple(cell.strip() for cell in line.strip("| ").split(" | ")) for line in lines]
    return {cells[0]: cells for cells in rows}


def _numbers(found: set[int]) -> str:
    return ", ".join(map(str, sorted(found)))


def _end(found: Findings) -> str:
    served = found.served
    started, stopped = (len(served.events(event)) for event in ("application_started", "application_stopped"))
    end = f"exit {served.code}" if served.code >= 0 else "ends by SIGTERM"
    return f"{end}, {'each worker stopped once' if started == stopped else f'{stopped} of {started} workers stopped'}"


def main() -> None:
    rows = []
    for setup in SETUPS:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(row(setup, find(setup, Path(folder))))
        print(" | ".join(rows[-1]), flush=True)
    DOCUMENT.write_text(written(DOCUMENT.read_text(encoding="utf-8"), rows), encoding="utf-8")


if __name__ == "__main__":
    main()
