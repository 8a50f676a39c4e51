"""FastAPI and nothing else: what every other row is measured against."""

from __future__ import annotations

from benchmarks.application import application
from benchmarks.variants import ASGIApp


def build() -> ASGIApp:
    """The application as it is."""
    return application()
