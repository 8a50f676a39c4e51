"""Metrics: of requests, of the process, of Belvedere, and those that the application declares; served at one path."""

from belvedere.metrics.declared import counter, gauge, histogram
from belvedere.metrics.decorators import track_count, track_time
from belvedere.metrics.metrics import Metrics

__all__ = ["Metrics", "counter", "gauge", "histogram", "track_count", "track_time"]
