"""The composition root: builds the features that the settings ask for and puts them around the application."""

from belvedere.wiring.observability import Observability
from belvedere.wiring.observing import observe

__all__ = ["Observability", "observe"]
