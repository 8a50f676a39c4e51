"""Belvedere makes any FastAPI service fit for production with one line: `belvedere.observe(app)`."""

import importlib
from typing import TYPE_CHECKING, Any

from belvedere.context import LogContext, bind, request_id, set_request_id
from belvedere.logs import get_logger
from belvedere.metrics import counter, gauge, histogram, track_count, track_time
from belvedere.parts import SLO, Check, Host, Observer, Part
from belvedere.settings import Settings, SettingsError
from belvedere.wiring import Observability, observe

if TYPE_CHECKING:
    from belvedere import integrations as integrations
    from belvedere.interactions import Interactions as Interactions
    from belvedere.ratelimit import RateLimiter as RateLimiter

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

_EXTRAS = {
    "Interactions": ("belvedere.interactions", "interactions"),
    "RateLimiter": ("belvedere.ratelimit", "limits"),
}
"""Names that need an extra: the module that has them, imported when one is asked for, and the extra. They are not in
`__all__`, as `import *` asks for all that is."""

if not TYPE_CHECKING:  # To a type checker, only the names above exist.

    def __getattr__(name: str) -> Any:
        if name == "integrations":  # Its verbs ask for their own extras.
            return importlib.import_module("belvedere.integrations")
        if name not in _EXTRAS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module, extra = _EXTRAS[name]
        try:
            found = getattr(importlib.import_module(module), name)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] == __name__:
                raise  # A module of our own is missing: no extra brings that.
            raise ImportError(
                f"belvedere.{name} needs {error.name}, which is not installed: pip install 'belvedere[{extra}]'",
                name=error.name,
            ) from error
        globals()[name] = found
        return found
