"""Interactions: who did what and how it was answered, one row of a database for each request."""

from belvedere.interactions.interactions import Interactions
from belvedere.interactions.verdicts import Unavailable

__all__ = ["Interactions", "Unavailable"]
