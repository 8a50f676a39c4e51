"""`python -m benchmarks`: the tables. `… workers`, `… scrapes`: several workers. `… profile`: where the time goes.
`… stalled`: a service whose log nobody reads. `… interactions`: a backlog that is drained, old rows that go."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks import inprocess, interactions, profiling, scrapes, sockets, stalled, table, targets, workers
from benchmarks.machine import this_machine
from benchmarks.variants import BARE, BELVEDERE, COMPOSITION, CONTROL, VARIANTS, Variant

ESSENTIAL = (BARE, CONTROL, BELVEDERE, COMPOSITION)


def say(text: str) -> None:
    """Tell how far it is, where it does not mix with the table."""
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Run what the arguments ask for; the exit code is 1 when a row that the targets need was not measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = ("table", "workers", "scrapes", "stalled", "interactions", "profile")
    parser.add_argument("command", nargs="?", choices=commands, default="table")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: to see that it runs, not to be quoted")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round to a file as well")
    parser.add_argument(
        "--only", metavar="NAMES", help="rows by name, comma-separated, besides bare, Belvedere, composition"
    )
    parser.add_argument("--no-sockets", action="store_true", help="leave the throughput out")
    options = parser.parse_args()
    plan = inprocess.Plan(generations=1, requests=800) if options.quick else inprocess.Plan()
    if options.command == "profile":
        print(profiling.profile(plan, say))
        return 0
    if options.command == "scrapes":
        quick = {"rounds": 5, "recycled": 20} if options.quick else {}
        print(*this_machine().lines(), "", scrapes.report(say, **quick), sep="\n")
        return 0
    if options.command == "workers":
        return _workers(options)
    if options.command == "interactions":
        smaller = {"events": 10_000, "rows": 20_000} if options.quick else {}
        print(*this_machine().lines(), "", interactions.report(say, **smaller), sep="\n")
        return 0
    if options.command == "stalled":
        print(*this_machine().lines(), "", stalled.measure().table(), sep="\n")
        return 0
    return _table(plan, options)


def _workers(options: argparse.Namespace) -> int:
    plan = workers.WorkersPlan(rounds=3, seconds=1) if options.quick else workers.WorkersPlan()
    rates = workers.measure(plan, say)
    print("", workers.render(rates, plan), "", targets.with_workers(rates).line(), sep="\n")
    return 0


def _table(plan: inprocess.Plan, options: argparse.Namespace) -> int:
    machine = this_machine()
    rows = _rows(options.only)
    costs = inprocess.measure(rows, plan, say)
    shares: dict[str, sockets.Share] = {}
    if not options.no_sockets:
        measured = [row for row in rows if row is not BARE and not costs[row.name].refused]
        socket_plan = sockets.SocketPlan(pairs=3, seconds=0.3) if options.quick else sockets.SocketPlan()
        shares = sockets.measure(measured, socket_plan, say)
    verdicts = targets.verdicts(costs, shares)
    print(table.render(machine, rows, costs, shares))
    print("", *(verdict.line() for verdict in verdicts), sep="\n")
    if not options.no_sockets:
        _workers(options)
    if options.json:
        found = {
            "machine": machine.as_dict(),
            "cpu_us": {name: cost.refused or cost.rounds for name, cost in costs.items()},
            "sockets": {name: share.refused or _plain(share) for name, share in shares.items()},
            "verdicts": [(verdict.target, verdict.found, verdict.met) for verdict in verdicts],
        }
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    return 1 if any(costs[row.name].refused for row in ESSENTIAL) else 0


def _plain(share: sockets.Share) -> list[list[dict[str, float]]]:
    return [[asdict(half) for half in pair] for pair in share.pairs]


def _rows(only: str | None) -> list[Variant]:
    if only is None:
        return list(VARIANTS)
    names = set(only.split(",")) | {row.name for row in ESSENTIAL}
    if unknown := names - {row.name for row in VARIANTS}:
        raise SystemExit(
            f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(row.name for row in VARIANTS)}"
        )
    return [row for row in VARIANTS if row.name in names]


if __name__ == "__main__":
    sys.exit(main())
