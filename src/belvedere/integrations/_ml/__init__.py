"""Models of machine learning: which are loaded, how many predictions, how long each, and what caches had already."""

from belvedere.integrations._ml.part import ml

__all__ = ["ml"]
