"""Loads the rows in turn, another one first in each round, and keeps what was measured."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from sqlalchemy import URL

from benchmarks.children import VariantError
from benchmarks.scholarships import database, sign_in
from benchmarks.scholarships.rows import BARE, Row
from benchmarks.scholarships.services import Load, Service
from tests import servers

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """Workers of each row, seconds of load on it, one in each round, and connections of wrk.

    Rounds are short so that what a neighbour on the machine does falls on all rows alike.
    """

    workers: int = 4
    seconds: int = 12
    connections: int = 8


@dataclass(slots=True)
class Measured:
    """Each row's loads by round, and the database's CPU time for a request of them, in microseconds."""

    loads: dict[str, list[Load]] = field(default_factory=dict)
    database_us: dict[str, list[float]] = field(default_factory=dict)

    def median(self, row: Row, figure: Callable[[Load], float]) -> float:
        """A row's figure, by the median of the rounds."""
        return statistics.median(map(figure, self.loads[row.name]))

    def added(self, row: Row, figure: Callable[[Load], float]) -> float:
        """What a row adds to the figure without Belvedere: the median of the rounds' differences."""
        pairs = zip(self.loads[row.name], self.loads[BARE.name], strict=True)
        return statistics.median(figure(ours) - figure(theirs) for ours, theirs in pairs)

    def share(self, row: Row, figure: Callable[[Load], float]) -> float:
        """The figure as a share of that without Belvedere, by the median of the rounds."""
        pairs = zip(self.loads[row.name], self.loads[BARE.name], strict=True)
        return statistics.median(figure(ours) / figure(theirs) for ours, theirs in pairs)

    def least(self, row: Row) -> float:
        """The least CPU time of the workers for a request, in microseconds, of all rounds."""
        return min(load.cpu_us for load in self.loads[row.name])

    def database(self, row: Row) -> float | None:
        """The database's CPU time for a request, by the median; None where it is not known."""
        return statistics.median(self.database_us[row.name]) if self.database_us[row.name] else None


def measure(rows: Sequence[Row], plan: Plan, say: Say) -> Measured:
    """Start the rows side by side and load them in turn.

    Raises:
        VariantError: when a row does not start, refuses a request, or logs other than it should.
    """
    measured = Measured({row.name: [] for row in rows}, {row.name: [] for row in rows})
    with ExitStack() as stack:
        say("starting PostgreSQL and filling it")
        url = stack.enter_context(database.filled())
        server = database.Server(url)
        services = [stack.enter_context(service) for service in _services(rows, plan, url, stack)]
        for service in services:
            service.wait()
        arguments = [str(database.ROWS), sign_in.token()]
        answered = dict.fromkeys((row.name for row in rows), 0)
        for service in services:
            say(f"warming up: {service.row.title}")
            answered[service.row.name] += service.load(1, plan.connections * 2, arguments).requests
        for number in range(plan.seconds):
            say(f"round {number + 1} of {plan.seconds}")
            turn = number % len(services)
            for service in services[turn:] + services[:turn]:
                before = server.cpu_seconds()
                load = service.load(1, plan.connections, arguments)
                after = server.cpu_seconds()
                answered[service.row.name] += load.requests
                measured.loads[service.row.name].append(load)
                if before is not None and after is not None:
                    measured.database_us[service.row.name].append((after - before) / load.requests * 1e6)
    for service in services:
        if service.lines < answered[service.row.name] if service.row.logs else service.lines:
            raise VariantError(f"{service.row.title}: {service.lines} lines of {answered[service.row.name]} requests")
    return measured


def _services(rows: Sequence[Row], plan: Plan, url: URL, stack: ExitStack) -> Iterator[Service]:
    redis = stack.enter_context(servers.redis()) if any(row.redis for row in rows) else None
    for row in rows:
        yield Service(row, plan.workers, _environment(row, url, redis, stack.enter_context(_folder())))


def _environment(row: Row, url: URL, redis: str | None, state: str) -> Mapping[str, str]:
    # No limit is reached: what counts is the counting.
    limits = '{"search": "999999999/minute", "auth": "999999999/minute", "write": "999999999/minute"}'
    environment = {
        "ENVIRONMENT": "staging",
        "DATABASE_URL": url.render_as_string(hide_password=False),
        "RATE_LIMITS": limits,
        "XDG_STATE_HOME": state,
        "BELVEDERE_HEALTH__DRAIN": "0",  # nobody waits for it to leave
        **sign_in.environment(),
    }
    if row.redis:
        assert redis is not None
        environment["RATE_LIMIT_REDIS_URL"] = redis
    return environment


@contextmanager
def _folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="belvedere-load-") as name:
        yield name
