"""Events that wait in memory, as there is no file to write them to."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple


class Held(NamedTuple):
    """An event in memory, and when it came, seconds since the epoch."""

    at: float
    payload: bytes


class Memory:
    """A bounded queue; one thread may add while another takes.

    Args:
        limit: how many events there may be, those that were taken and are not delivered yet included.

    Attributes:
        waiting: events that nobody has taken.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.waiting: deque[Held] = deque()
        self._taken: deque[Held] = deque()

    def __len__(self) -> int:
        return len(self.waiting) + len(self._taken)

    @property
    def oldest(self) -> float | None:
        """When the oldest event came; `None`: there is none."""
        try:
            return min(queue[0].at for queue in (self._taken, self.waiting) if queue)
        except (ValueError, IndexError):
            return None

    def add(self, held: Held) -> bool:
        """Add an event; `False`: there is no room."""
        if len(self) >= self._limit:
            return False
        self.waiting.append(held)
        return True

    def move(self, limit: int) -> list[Held]:
        """Return the oldest events; they are no longer here."""
        moved: list[Held] = []
        try:
            while len(moved) < limit:
                moved.append(self.waiting.popleft())
        except IndexError:
            pass  # Another thread may have taken them meanwhile.
        return moved

    def move_back(self, moved: list[Held]) -> None:
        """Have events again that were moved."""
        self.waiting.extendleft(reversed(moved))

    def take(self, limit: int, size: int) -> list[Held]:
        """Return the oldest events, to be settled: so many, and of so many bytes (but for the first), at most."""
        taken: list[Held] = []
        while len(taken) < limit and (size > 0 or not taken):
            moved = self.move(1)
            if not moved:
                break
            self._taken.append(moved[0])
            taken += moved
            size -= len(moved[0].payload)
        return taken

    def settle(self, taken: list[Held], *, delivered: bool) -> None:
        """Forget events that were taken, or have them again."""
        gone = {id(held) for held in taken}
        if not delivered:
            self.waiting.extendleft(reversed(taken))
        self._taken = deque(held for held in self._taken if id(held) not in gone)

    def give_up(self) -> None:
        """Have all events again that were taken."""
        taken, self._taken = self._taken, deque()
        self.waiting.extendleft(reversed(taken))

    def clear(self) -> int:
        """Forget all; return how many there were."""
        count = len(self)
        self.waiting.clear()
        self._taken = deque()
        return count
