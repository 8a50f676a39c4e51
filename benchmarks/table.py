"""The one table, as text that is also Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.inprocess import ALONE, LOADED, Cost
from benchmarks.machine import Machine
from benchmarks.sockets import Share
from benchmarks.variants import BARE, COMPOSITION, Variant

HEAD = ("", "adds, µs CPU", "by median", "one at a time", "of the composition", "throughput", "per CPU second")


def render(
    machine: Machine,
    variants: Sequence[Variant],
    costs: Mapping[str, Cost],
    shares: Mapping[str, Share],
) -> str:
    """Return the head and the table of a run."""
    bare = costs[BARE.name]
    lines = [
        *machine.lines(),
        f"A bare request takes {bare.least():.1f} µs of CPU (median {bare.middle():.1f}) in process,"
        f" {LOADED} per turn of the event loop; {bare.least(ALONE):.1f} one at a time"
        + (f" and {_bare_rate(shares):,.0f} are answered per second over sockets." if shares else "."),
        "",
    ]
    rows = [_row(variant, costs, shares) for variant in variants]
    widths = [max(len(row[column]) for row in (HEAD, *rows)) for column in range(len(HEAD))]
    lines.append(_format(HEAD, widths))
    lines.append("|".join(["", "-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:]), ""]))
    lines += [_format(row, widths) for row in rows]
    refused = [f"{variant.title}: {costs[variant.name].refused}" for variant in variants if costs[variant.name].refused]
    if refused:
        lines += ["", "Not measured:", *(f"  {line}" for line in refused)]
    return "\n".join(lines)


def _row(variant: Variant, costs: Mapping[str, Cost], shares: Mapping[str, Share]) -> tuple[str, ...]:
    cost, share = costs[variant.name], shares.get(variant.name)
    throughput = per_cpu = ""
    if share is not None and share.pairs:
        throughput = f"{share.throughput:.2f}"
        per_cpu = "" if share.cpu is None else f"{share.cpu:.2f}"
    if cost.refused:
        return (variant.title, "not run", "", "", "", throughput, per_cpu)
    if variant is BARE:
        return (variant.title, "0", "0", "0", "", "1", "1")
    bare = costs[BARE.name]
    return (
        variant.title,
        f"{cost.least() - bare.least():+.1f}",
        f"{cost.middle() - bare.middle():+.1f}",
        f"{cost.least(ALONE) - bare.least(ALONE):+.1f}",
        _ratio(cost, costs[COMPOSITION.name], bare),
        throughput,
        per_cpu,
    )


def _ratio(cost: Cost, other: Cost, bare: Cost) -> str:
    return "" if other.refused else f"{(cost.least() - bare.least()) / (other.least() - bare.least()):.2f}"


def _bare_rate(shares: Mapping[str, Share]) -> float:
    return max(bare.per_second for share in shares.values() for bare, _ in share.pairs)


def _format(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.ljust(width) if column == 0 else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "| " + " | ".join([first, *others]) + " |"
