"""What the runs found, as tables of a document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tests.endurance import backlog as backlogs
from tests.endurance import chaos as runs
from tests.endurance import disk as disks
from tests.endurance import latency as latencies
from tests.endurance import stopping as stops


def chaos(result: runs.Result) -> Iterator[str]:
    accounts, ledger = result.accounts, result.ledger
    statuses = ", ".join(f"{status}: {count:,}" for status, count in sorted(ledger.statuses().items()))
    return _pairs(
        {
            "requests answered": f"{accounts.answered:,}",
            "with status": statuses,
            "clients that left (499)": f"{len(ledger.of('left')):,}",
            "broken off by a kill; of these with a row": f"{accounts.cut:,}; {accounts.cut_with_row:,}",
            "the database": ", ".join(result.troubles),
            "workers killed by `kill -9`": f"{len(ledger.kills):,}",
            "rows": f"{accounts.rows:,}",
            "answered requests without a row": f"{len(accounts.missing):,}",
            "with two rows": f"{len(accounts.double):,}",
            "rows with an id that no answer had": f"{len(accounts.strangers):,}",
            "rows that differ from request or answer": f"{len(accounts.wrong):,}",
            "waiting when all was killed at the end": f"{result.waiting:,}",
            "delivered by the next start in": f"{result.delivered:.1f} s",
            "metrics before that": _figures(result.figures),
            "seconds": f"{result.seconds:.0f}",
        }
    )


def latency(results: Sequence[latencies.Result]) -> Iterator[str]:
    yield from _head("the database is", "pairs", "p50 before, ms", "p50 then", "p99 before, ms", "p99 then", "rise")
    for result in results:
        cells = [f"{value * 1e3:.2f}" for name in ("p50", "p99") for value in result.median(name)]
        yield _row(result.trouble, str(len(result.pairs)), *cells, f"{result.rise() * 1e3:.2f}")


def backlog(result: backlogs.Result) -> Iterator[str]:
    before, during = result.before, result.during
    return _pairs(
        {
            "interactions that wait": f"{result.waiting:,}, as the metric says"
            if result.waiting == result.pending
            else f"{result.waiting:,}, the metric says {result.pending:,.0f}",
            "bytes of the journal": f"{result.bytes:,.0f}",
            "from the database's start to the first row": f"{result.began_after:.2f} s",
            "from the first row to the last": f"{result.seconds:.2f} s, {result.rate:,.0f} rows/s",
            "requests before: p50, p99": f"{before.p50 * 1e3:.2f}, {before.p99 * 1e3:.2f} ms",
            "requests meanwhile: p50, p99": f"{during.p50 * 1e3:.2f}, {during.p99 * 1e3:.2f} ms",
        }
    )


def stopping(result: stops.Result) -> Iterator[str]:
    yield from _head("the database is", "seconds to stop", "rows still to come", "bytes of the journal")
    for stop in result.stops:
        yield _row(stop.database, f"{stop.seconds:.2f}", f"{stop.rows_left:,}", f"{stop.bytes_left:,}")
    yield ""
    yield f"Rows missing after the next start: {len(result.accounts.missing)}. Its metrics: {_figures(result.figures)}."


def disk(result: disks.Result) -> Iterator[str]:
    accounts = result.accounts
    return _pairs(
        {
            "events that wait when it is full": f"{result.full['pending']:,.0f}",
            "bytes of the journal then": f"{result.full['journal_bytes']:,.0f}",
            "requests answered": f"{accounts.answered:,}",
            "answered requests without a row": f"{len(accounts.missing):,}",
            "with two rows": f"{len(accounts.double):,}",
            "metrics": _figures(result.after),
        }
    )


def _figures(figures: Mapping[str, float]) -> str:
    return ", ".join(
        f"{figures.get(f'{name}_total', 0):,.0f} {name}" for name in ("recorded", "written", "retried", "dropped")
    )


def _pairs(cells: Mapping[str, str]) -> Iterator[str]:
    yield from _head("", "")
    for name, value in cells.items():
        yield _row(name, value)


def _head(*names: str) -> Iterator[str]:
    yield _row(*names)
    yield _row(*("---" for _ in names))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
