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

    endpoint: str
    method: str
    fate: Fate
    status: int
    worker: int
    at: float
    """When it was over, in seconds of a monotonic clock."""


@dataclass
class Ledger:
    """All requests by their id, and the kills."""

    entries: dict[str, Entry] = field(default_factory=dict)
    kills: dict[int, float] = field(default_factory=dict)
    """Worker that was killed, and when."""
    wrong_ids: list[str] = field(default_factory=list)
    """Requests whose answer carried another id."""

    def note(self, request_id: str, entry: Entry, answered_with: str | None = None) -> None:
        self.entries[request_id] = entry
        if answered_with is not None and answered_with != request_id:
            self.wrong_ids.append(request_id)

    def of(self, *fates: Fate) -> dict[str, Entry]:
        return {request_id: entry for request_id, entry in self.entries.items() if entry.fate in fates}

    def perhaps_lost(self, request_id: str, within: float) -> bool:
        """Whether the worker that answered was killed so shortly after that its last lines may be lost with it."""
        entry = self.entries[request_id]
        killed = self.kills.get(entry.worker)
        return killed is not None and killed - entry.at < within

    def fates(self) -> Counter[Fate]:
        return Counter(entry.fate for entry in self.entries.values())
