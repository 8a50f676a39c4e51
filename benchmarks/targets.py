"""What the figures have to show: ratios of one run, never times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.inprocess import ALONE, Cost
from benchmarks.sockets import Share
from benchmarks.variants import BARE, BELVEDERE, COMPOSITION, CONTRIB, NATIVE_SPAN, TRACED, Variant
from benchmarks.workers import BELVEDERE as WORKERS
from benchmarks.workers import LOGGING, Rates


@dataclass(frozen=True, slots=True)
class Verdict:
    """One target and what the run says about it; `met` is None where the run cannot tell."""

    target: str
    found: str
    met: bool | None

    def line(self) -> str:
        """As it is printed below the table."""
        answer = "-" if self.met is None else "yes" if self.met else "NO"
        return f"{answer:<4} {self.target}: {self.found}"


def verdicts(costs: Mapping[str, Cost], shares: Mapping[str, Share]) -> list[Verdict]:
    """Compare the run with the targets."""
    return [
        _against_composition(costs),
        _traced(costs, NATIVE_SPAN, 0.65, "0.65 of what FastAPI's own server span alone adds"),
        _traced(costs, CONTRIB, 0.25, "1/4 of what the OpenTelemetry instrumentation adds"),
        _over_sockets(shares),
    ]


def _against_composition(costs: Mapping[str, Cost]) -> Verdict:
    target = "the default adds at most 1/6 of what the composition of peers adds"
    bare, ours, theirs = (costs[row.name] for row in (BARE, BELVEDERE, COMPOSITION))
    if ours.refused or theirs.refused:
        return Verdict(target, "not measured", None)
    least = (ours.least() - bare.least()) / (theirs.least() - bare.least())
    middle = (ours.middle() - bare.middle()) / (theirs.middle() - bare.middle())
    alone = (ours.least(ALONE) - bare.least(ALONE)) / (theirs.least(ALONE) - bare.least(ALONE))
    found = f"{least:.3f} ({middle:.3f} by the median, {alone:.3f} one request at a time); 1/6 is 0.167"
    return Verdict(target, found, least <= 1 / 6)


def _traced(costs: Mapping[str, Cost], theirs: Variant, most: float, share: str) -> Verdict:
    target = f"the default with every request traced adds at most {share}"
    found = [costs.get(row.name) for row in (BARE, TRACED, theirs)]
    if any(cost is None or cost.refused for cost in found):
        return Verdict(target, "not measured", None)
    bare, ours, other = (cost for cost in found if cost is not None)
    least = (ours.least() - bare.least()) / (other.least() - bare.least())
    middle = (ours.middle() - bare.middle()) / (other.middle() - bare.middle())
    return Verdict(target, f"{least:.3f} ({middle:.3f} by the median)", least <= most)


def _over_sockets(shares: Mapping[str, Share]) -> Verdict:
    target = "over sockets the default keeps at least 0.85 of bare throughput"
    share = shares.get(BELVEDERE.name)
    if share is None or not share.pairs:
        return Verdict(target, "not measured", None)
    if share.cpu is None:
        return Verdict(target, f"{share.throughput:.2f} by the clock", share.throughput >= 0.85)
    found = f"{share.cpu:.2f} per second of the server's CPU time, {share.throughput:.2f} by the clock"
    return Verdict(target, found, share.cpu >= 0.85)


def with_workers(rates: Rates) -> Verdict:
    """Compare the run of several workers with its target."""
    share = rates.share(WORKERS)
    found = (
        f"{share:.2f} by the clock, {rates.cpu_share(WORKERS):.2f} per second of the workers' CPU time"
        f" ({rates.share(WORKERS, LOGGING):.2f} of bare with uvicorn's own access log)"
    )
    return Verdict("several workers keep at least 0.85 of the throughput of as many bare ones", found, share >= 0.85)
