"""Health checks, the probes that answer after them, and their runs without a probe."""

from belvedere.health.health import Health

__all__ = ["Health"]
