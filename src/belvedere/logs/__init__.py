"""One pipeline for structlog, the standard library and the servers; one access line per request."""

from belvedere.logs.dictconfig import Formatter, logconfig, logconfig_ini
from belvedere.logs.installation import Logs
from belvedere.logs.servers import mark_reported
from belvedere.logs.structured import get_logger

__all__ = ["Formatter", "Logs", "get_logger", "logconfig", "logconfig_ini", "mark_reported"]
