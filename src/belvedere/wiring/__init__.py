"""The composition root: builds the features that the settings ask for and puts them around the application."""

from belvedere.wiring.observability import Observability, observe

__all__ = ["Observability", "observe"]
