"""How many requests a server answered, in a second and in a second of its CPU time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """What was answered under load: per second, and per second of CPU time; 0 where the system does not tell."""

    per_second: float
    per_cpu_second: float

    @classmethod
    def of(cls, per_second: float, completed: float, cpu_seconds: float) -> Rate:
        """Return the rate of so many answers that took so many seconds of CPU time."""
        return cls(per_second, completed / cpu_seconds if cpu_seconds else 0.0)
