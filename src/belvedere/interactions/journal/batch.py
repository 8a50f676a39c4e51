"""Events that are on their way out of the journal."""

from __future__ import annotations

from typing import Protocol

from belvedere.interactions.journal.memory import Held
from belvedere.interactions.journal.span import Span
from belvedere.interactions.journal.trail import Trail

Payload = bytes
"""An event."""


class Settle(Protocol):
    """Whoever gave a batch out."""

    def settle(self, batch: Batch, *, delivered: bool) -> None: ...


class Batch:
    """Events that were taken from the journal, oldest first, to be settled once: by `done()` or by `back()`.

    Either may be called from any thread; a second call does nothing, nor does one after the journal was closed or the
    process forked.

    Attributes:
        payloads: the events.
    """

    __slots__ = ("_owner", "era", "held", "payloads", "spans")

    def __init__(self, owner: Settle, era: int) -> None:
        self.payloads: list[Payload] = []
        self.era = era
        self.spans: list[tuple[Trail, Span]] = []
        self.held: list[Held] = []
        self._owner: Settle | None = owner

    def done(self) -> None:
        """They are delivered: the journal forgets them. Never raises."""
        self._settle(delivered=True)

    def back(self) -> None:
        """They are not: the journal gives them out again. Never raises."""
        self._settle(delivered=False)

    def _settle(self, *, delivered: bool) -> None:
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.settle(self, delivered=delivered)
