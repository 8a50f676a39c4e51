"""Health checks, the probes that answer after them, their runs without a probe, and the drain on SIGTERM."""

from belvedere.health.drain import Drain
from belvedere.health.health import Health

__all__ = ["Drain", "Health"]
