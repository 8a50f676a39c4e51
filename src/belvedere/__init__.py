"""Belvedere makes any FastAPI service fit for production with one line: `belvedere.observe(app)`."""

from belvedere.context import LogContext, bind, request_id, set_request_id
from belvedere.logs import get_logger
from belvedere.metrics import counter, gauge, histogram, track_count, track_time
from belvedere.parts import SLO, Check, Host, Observer, Part
from belvedere.settings import Settings, SettingsError
from belvedere.wiring import Observability, observe

__all__ = [
    "SLO",
    "Check",
    "Host",
    "LogContext",
    "Observability",
    "Observer",
    "Part",
    "Settings",
    "SettingsError",
    "bind",
    "counter",
    "gauge",
    "get_logger",
    "histogram",
    "observe",
    "request_id",
    "set_request_id",
    "track_count",
    "track_time",
]
