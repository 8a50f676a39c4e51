"""Locks on files that end with their process: flock(2), where the system has it."""

from __future__ import annotations

try:
    import fcntl
except ImportError:  # not on Windows: there, the living cannot be told from the dead
    fcntl = None  # type: ignore[assignment]

__all__ = ["available", "fcntl"]

available = bool(fcntl)
"""Whether there are such locks."""
