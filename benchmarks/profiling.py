"""Where Belvedere's time goes: each feature switched off in turn, and what a request executes by function."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.counting import counted
from benchmarks.inprocess import ALONE, Cost, Plan, measure
from benchmarks.variants import BARE, BELVEDERE, CONTROL, Variant

FEATURES = ("headers", "metrics", "logs.access", "logs", "problems", "health")
ALL = "headers,metrics,logs,problems,health"
SHOWN = 32
PROFILED = 4000


def variants() -> list[Variant]:
    """The default, the default less each feature, and the pass with nothing on it."""
    rows = [BARE, CONTROL, BELVEDERE]
    for feature in FEATURES:
        logs = not feature.startswith("logs")
        rows.append(Variant(f"-{feature}", f"without {feature}", f"ours:build:{feature}", "profile", logs))
    return [*rows, Variant("pass", "the pass alone, no feature", f"ours:build:{ALL}", "profile")]


def profile(plan: Plan, say: Callable[[str], None]) -> str:
    """Return the report of one interleaved run."""
    rows = variants()
    costs = measure(rows, plan, say)
    bare, whole = costs[BARE.name], costs[BELVEDERE.name]
    lines = [
        f"Bare request: {bare.least():.1f} µs of CPU, {bare.least(ALONE):.1f} one at a time.",
        "In µs of CPU; `feature` is the default less this row, the least of all rounds and the median.",
        f"{'':30}{'adds':>8}{'median':>8}{'alone':>8}{'feature':>10}{'median':>8}{'alone':>8}",
    ]
    for row in rows[1:]:
        cost = costs[row.name]
        if cost.refused:
            lines.append(f"{row.title[:29]:30} not measured: {cost.refused}")
            continue
        line = f"{row.title[:29]:30}" + _figures(cost, bare)
        if row.group == "profile" and not whole.refused:
            line += "  " + _figures(whole, cost)
        lines.append(line)
    say("counting instructions")
    return "\n".join([*lines, "", *_functions()])


def _figures(cost: Cost, less: Cost) -> str:
    figures = (cost.least() - less.least(), cost.middle() - less.middle(), cost.least(ALONE) - less.least(ALONE))
    return "".join(f"{figure:8.1f}" for figure in figures)


def _functions() -> list[str]:
    """What Belvedere's request executes beyond the bare one's, by function."""
    bare, ours = counted(BARE.build, PROFILED), counted(BELVEDERE.build, PROFILED)
    extra = {name: number - bare["by_function"].get(name, 0.0) for name, number in ours["by_function"].items()}
    timed: dict[str, tuple[float, float]] = {}
    for name, (calls, own) in ours["own_us"].items():
        before = bare["own_us"].get(name, (0.0, 0.0))
        timed[name] = (calls - before[0], own - before[1])
    lines = [
        f"Instructions per request: bare {bare['instructions']:.0f}, with Belvedere {ours['instructions']:.0f}; "
        f"calls into C: {bare['c_calls']:.0f}, {ours['c_calls']:.0f}; "
        f"objects left to the garbage collector: {bare['garbage']:.1f}, {ours['garbage']:.1f}.",
        "By function, beyond the bare request; own time is cProfile's, inflated by about the same for each call:",
        f"{'own µs':>8}{'calls':>7}{'instructions':>14}  function",
    ]
    names = sorted(timed, key=lambda name: max(timed[name][1], extra.get(name, 0.0) / 100), reverse=True)
    for name in names[:SHOWN]:
        calls, own = timed[name]
        lines.append(f"{own:8.2f}{calls:7.2f}{extra.get(name, 0.0):14.0f}  {name}")
    return lines
