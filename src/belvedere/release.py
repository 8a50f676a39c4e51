"""Which Belvedere this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def own_version() -> str:
    """Return the version that is installed."""
    try:
        return version("belvedere")
    except PackageNotFoundError:
        # Run from a checkout that nobody installed.
        return "unknown"
