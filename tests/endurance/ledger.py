"""What the load generator knows of each request that it sent."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

Fate = Literal["answered", "left", "cut"]
"""Answered in full; the client went away; the connection broke, as it does when a worker is killed."""


@dataclass(slots=True)
class Entry:
    """One request."""

    event: str | None
    """The type of its interaction; None where nothing is recorded."""
    method: str
    path: str
    subject: str | None
    user: str | None
    metadata: dict[str, object]
    fate: Fate = "cut"
    status: int = 0
    worker: int = 0
    at: float = 0.0
    """When it was over, in seconds of a monotonic clock."""


@dataclass
class Ledger:
    """All requests by the trace id that their interaction must have, and the kills."""

    entries: dict[str, Entry] = field(default_factory=dict)
    nameless: int = 0
    """Requests without an id of their own that broke off: what they recorded cannot be told from a stranger's."""
    kills: dict[int, float] = field(default_factory=dict)
    """Worker that was killed, and when."""
    wrong_ids: list[str] = field(default_factory=list)
    """Answers that carried another id than was sent."""

    def of(self, *fates: Fate) -> dict[str, Entry]:
        """Return the recorded requests with one of these fates."""
        return {trace: entry for trace, entry in self.entries.items() if entry.fate in fates and entry.event}

    def died(self, entry: Entry) -> bool:
        """Whether the worker that had the request was killed within a while of it."""
        killed = self.kills.get(entry.worker)
        return killed is not None and killed - entry.at < 2.0

    def forget_unheard(self, lines: str) -> None:
        """Take those that left as cut where the service has no access line of them: they were gone before it read them.

        A line is there a moment after its request's end.
        """
        for trace, entry in self.of("left").items():
            if trace not in lines:
                entry.fate = "cut"

    def statuses(self) -> Counter[int]:
        return Counter(entry.status for entry in self.of("answered").values())
