"""The table of a run, and what it says about the bounds."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.scholarships.rounds import Measured, Plan
from benchmarks.scholarships.rows import BARE, CONTROL, Row
from benchmarks.targets import Verdict

MOST_P99_MS = 1000.0
MOST_ADDED_MS = 5.0
MOST_CPU = 0.03
"""Of the CPU time of a request that queries the database."""


def render(measured: Measured, rows: Sequence[Row], plan: Plan) -> str:
    """Return the table."""
    lines = [
        f"{plan.workers} workers of uvicorn, PostgreSQL, {plan.connections} connections of wrk, the rows in turn, "
        f"{plan.seconds} times a second:",
        "",
        f"| {'':46} |   rps | p50, ms | p99, ms | adds, ms | CPU, µs |   adds | by median | of PostgreSQL |",
        f"|{'':-<48}|------:|--------:|--------:|---------:|--------:|-------:|----------:|--------------:|",
    ]
    for row in rows:
        database = measured.database(row)
        lines.append(
            f"| {row.title:46} | {measured.median(row, lambda load: load.per_second):5,.0f} "
            f"| {measured.median(row, lambda load: load.p50_ms):7.1f} "
            f"| {measured.median(row, lambda load: load.p99_ms):7.1f} "
            f"| {measured.added(row, lambda load: load.p50_ms):+8.1f} "
            f"| {measured.least(row):7,.0f} "
            f"| {measured.least(row) / measured.least(BARE) - 1:+6.1%} "
            f"| {measured.share(row, lambda load: load.cpu_us) - 1:+9.1%} "
            f"| {'' if database is None else format(database, ',.0f'):>13} |"
        )
    return "\n".join(lines)


def verdicts(measured: Measured, rows: Sequence[Row]) -> list[Verdict]:
    """Compare each row that has Belvedere with the bounds, the noise beside it."""
    noise = measured.least(CONTROL) / measured.least(BARE) - 1 if CONTROL in rows else None
    said = "" if noise is None else f" (noise {noise:+.1%})"
    found: list[Verdict] = []
    for row in rows:
        if row in (BARE, CONTROL):
            continue
        slowest = max(load.p99_ms for load in measured.loads[row.name])
        added = measured.added(row, lambda load: load.p50_ms)
        share = measured.least(row) / measured.least(BARE) - 1
        found += [
            Verdict(f"{row.title}: p99 below 1 s", f"{slowest:.0f} ms in the slowest round", slowest < MOST_P99_MS),
            Verdict(f"{row.title}: less than 5 ms added to the median", f"{added:+.1f} ms", added < MOST_ADDED_MS),
            Verdict(f"{row.title}: less than 3% CPU of a request", f"{share:+.1%} at least{said}", share < MOST_CPU),
        ]
    return found
