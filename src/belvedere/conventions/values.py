"""Values of labels and fields that stand for what has none of its own, or must not be shown."""

from __future__ import annotations

from typing import Final

OVERFLOW: Final = "_overflow"
"""The label value that takes what a bound on label sets leaves no series for."""
UNMATCHED: Final = "unmatched"
"""The `endpoint` of a request that no route took."""
OTHER_METHOD: Final = "_OTHER"
"""The `method` of a request whose method nobody knows (as in OpenTelemetry's HTTP conventions)."""
OTHER: Final = "other"
"""The `table` of a statement that names none, or whose text alone is known."""
OTHER_OPERATION: Final = "OTHER"
"""The `operation` of a statement or command that nobody knows."""
KNOWN_METHODS: Final = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"}
)
CLIENT_CLOSED_REQUEST: Final = 499
"""Status of a client that went away before its answer; no RFC has it, nginx made it common."""
REDACTED: Final = "[redacted]"
