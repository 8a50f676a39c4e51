"""The accounts: the rows of the table against what the load generator knows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.endurance.database import Row
from tests.endurance.ledger import Entry, Ledger

_SHOWN = 5


@dataclass
class Accounts:
    """What came of comparing both; each list has one text for each request that it happened to."""

    answered: int
    rows: int
    missing: list[str] = field(default_factory=list)
    """Answered in full, and no row."""
    double: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    """Rows with an id that nobody was answered with."""
    wrong: list[str] = field(default_factory=list)
    """Rows with another status, user, subject … than their answer."""
    unnoticed: list[str] = field(default_factory=list)
    """Clients that left a worker which lives, and no row."""
    cut: int = 0
    cut_with_row: int = 0
    """Requests that broke off, and those of them that have a row: they may have one."""

    @property
    def complete(self) -> bool:
        """Whether no row is still to come."""
        return not self.missing and not self.unnoticed

    def faults(self) -> list[str]:
        kinds = {
            "missing": self.missing,
            "double": self.double,
            "wrong id": self.strangers,
            "wrong": self.wrong,
            "left without a row": self.unnoticed,
        }
        return [
            f"{len(found)} {kind}: {'; '.join(found[:_SHOWN])}" for kind, found in kinds.items() if found
        ]  # fmt: skip


def compare(ledger: Ledger, rows: Sequence[Row]) -> Accounts:
    """Return whether each answered request has exactly one row, and that row is right."""
    by_trace: dict[str | None, list[Row]] = defaultdict(list)
    for row in rows:
        by_trace[row.trace].append(row)
    accounts = Accounts(len(ledger.of("answered")), len(rows))
    for trace, entry in ledger.entries.items():
        own = by_trace.pop(trace, [])
        if entry.fate == "cut":
            accounts.cut += 1
            accounts.cut_with_row += len(own)
        if len(own) > 1:
            accounts.double.append(_told(trace, entry))
        elif own and entry.event is None:
            accounts.wrong.append(f"recorded unasked: {_told(trace, entry)}")
        elif own:
            accounts.wrong += _differences(trace, entry, own[0])
        elif entry.fate == "answered" and entry.event:
            accounts.missing.append(_told(trace, entry))
        elif entry.fate == "left" and not ledger.died(entry):
            accounts.unnoticed.append(_told(trace, entry))
    strangers = [repr(row) for found in by_trace.values() for row in found]
    # What broke off and had no id of its own got one that was never told.
    accounts.strangers = strangers[ledger.nameless :]
    events = Counter(row.event_id for row in rows)
    accounts.double += [f"event {event}" for event, count in events.items() if count > 1]
    return accounts


def _differences(trace: str, entry: Entry, row: Row) -> list[str]:
    expected: dict[str, object] = {
        "event": entry.event,
        "method": entry.method,
        "path": entry.path,
        "subject": entry.subject,
    }
    if entry.fate == "answered":
        expected |= {"status": entry.status, "user": entry.user}
    elif entry.fate == "left":
        # A worker that was busy meanwhile had its answer ready before it heard that nobody waits for it.
        expected["status"] = row.status if row.status in {499, 200} else 499
    found: dict[str, object] = {name: getattr(row, name) for name in expected}
    if entry.fate == "answered":
        found |= {name: row.metadata.get(name) for name in entry.metadata}
        expected |= entry.metadata
    return [
        f"{_told(trace, entry)}: {name} is {found[name]!r}, not {value!r}"
        for name, value in expected.items()
        if found[name] != value
    ]


def _told(trace: str, entry: Entry) -> str:
    return f"{entry.method} {entry.path} -> {entry.fate} {entry.status} by {entry.worker}, {trace}"
