"""A service level objective: which share of which requests has to be good."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol


class TakesObjectives(Protocol):
    """What an objective needs of its host."""

    def objective(self, objective: SLO) -> None: ...


class SLO:
    """A part that promises something about requests: that they succeed, and that they are fast.

    Args:
        name: as the catalogue, recording rules and alerts show it.
        objective: the share of good requests in percent, between 0 and 100, both excluded.
        latency: seconds within which a request has to be answered to be good; becomes an exact bucket of the duration
            histogram. `None`: only success counts.
        routes: `"METHOD /path/template"` each; none: every route.

    A request is bad when its status is 5xx, or when it takes longer than `latency` (SRE workbook, chapter 2).

    Raises:
        ValueError: saying which argument is wrong and what it should be.
    """

    def __init__(
        self, name: str, *, objective: float, latency: float | None = None, routes: Iterable[str] = ()
    ) -> None:
        if not name or type(name) is not str:
            raise ValueError("an objective needs a name, such as SLO('search', objective=99.5)")
        if not 0 < objective < 100:
            raise ValueError(f"SLO {name!r}: the objective is a percentage between 0 and 100, not {objective!r}")
        if latency is not None and not (latency > 0 and math.isfinite(latency)):
            raise ValueError(f"SLO {name!r}: the latency is a number of seconds above 0, not {latency!r}")
        self.name = name
        self.objective = objective
        self.latency = latency
        self.routes = (routes,) if isinstance(routes, str) else tuple(routes)
        for route in self.routes:
            method, _, path = route.partition(" ")
            if not method.isupper() or not path.startswith("/"):
                raise ValueError(f"SLO {name!r}: a route is written like 'GET /items/{{item_id}}', not {route!r}")

    def install(self, host: TakesObjectives) -> None:
        """Have the host show the objective in its catalogue, and make a bucket of its latency."""
        host.objective(self)

    def uninstall(self) -> None:
        """Nothing is left to do: the host forgets its objectives by itself."""
