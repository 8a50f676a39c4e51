"""A port of their own for metrics, and for whatever else is not for the service's users."""

from belvedere.metrics.port.claim import Claim
from belvedere.metrics.port.exchange import Handler
from belvedere.metrics.port.on_loop import OnLoop
from belvedere.metrics.port.port import Port

__all__ = ["Claim", "Handler", "OnLoop", "Port"]
