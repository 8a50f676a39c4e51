"""`python -m benchmarks.scholarships`: load on the Scholarship API, with and without Belvedere, in one run."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys

from benchmarks.children import VariantError
from benchmarks.machine import this_machine
from benchmarks.scholarships.rounds import Plan, measure
from benchmarks.scholarships.rows import BARE, CONTROL, ROWS
from benchmarks.scholarships.table import render, verdicts
from tests.servers import AbsentError


def say(text: str) -> None:
    """Tell how far it is, where it does not mix with the table."""
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Measure, and print the table; the exit code is 1 when that was not possible."""
    default = Plan()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scholarships", description=__doc__)
    parser.add_argument("--seconds", type=int, default=default.seconds, help="of load on each row, one in each round")
    parser.add_argument("--connections", type=int, default=default.connections)
    parser.add_argument("--workers", type=int, default=default.workers)
    parser.add_argument("--only", metavar="NAMES", help=f"rows by name: {', '.join(row.name for row in ROWS)}")
    options = parser.parse_args()
    names = set(options.only.split(",")) | {BARE.name, CONTROL.name} if options.only else {row.name for row in ROWS}
    rows = [row for row in ROWS if row.name in names]
    plan = Plan(options.workers, options.seconds, options.connections)
    if shutil.which("wrk") is None:
        say("wrk is not installed; `make services` installs it")
        return 1
    # Else whoever ends it would leave services and database behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    machine = this_machine()
    try:
        measured = measure(rows, plan, say)
    except (AbsentError, VariantError) as error:
        say(str(error))
        return 1
    print(*machine.lines(), "", render(measured, rows, plan), "", sep="\n")
    print(*(verdict.line() for verdict in verdicts(measured, rows)), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
