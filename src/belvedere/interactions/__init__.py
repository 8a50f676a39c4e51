"""Interactions: who did what and how it was answered, one row of a database for each request."""

from belvedere.interactions.interactions import Interactions

__all__ = ["Interactions"]
