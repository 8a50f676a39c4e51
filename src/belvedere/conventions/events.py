"""Loggers, and the events that they log."""

from __future__ import annotations

from typing import Final

ACCESS_LOGGER: Final = "belvedere.access"
OWN_LOGGER: Final = "belvedere"
TASK_LOGGER: Final = "belvedere.tasks"


class Event:
    """The events that Belvedere logs."""

    REQUEST: Final = "request_processed"
    STARTING: Final = "application_starting"
    STARTED: Final = "application_started"
    STOPPED: Final = "application_stopped"
    FAILED: Final = "application_failed"
    UNHANDLED_EXCEPTION: Final = "unhandled_exception"
    UNCAUGHT_EXCEPTION: Final = "uncaught_exception"
    IGNORED_EXCEPTION: Final = "ignored_exception"
    HTTP_EXCEPTION: Final = "http_exception"
    VALIDATION_ERROR: Final = "validation_error"
    CHECK_FAILED: Final = "check_failed"
    CHECK_RECOVERED: Final = "check_recovered"
    CHECK_BLOCKED_LOOP: Final = "check_blocked_loop"
    DRAINING: Final = "draining"
    INTERNAL_ERROR: Final = "internal_error"
    LINES_DROPPED: Final = "log_lines_dropped"
    METRICS_LISTENING: Final = "metrics_listening"
    METRICS_PORT_UNAVAILABLE: Final = "metrics_port_unavailable"
    METRICS_REFUSED: Final = "metrics_refused"
    RATE_LIMIT_STORE_UNAVAILABLE: Final = "rate_limit_store_unavailable"
    RATE_LIMIT_STORE_RECOVERED: Final = "rate_limit_store_recovered"
    LEVEL_CHANGED: Final = "log_level_changed"
    LEVELS_REFUSED: Final = "log_levels_refused"
    EXPORT_FAILED: Final = "export_failed"


class InteractionEvent:
    """The events that interactions log."""

    UNAVAILABLE: Final = "interactions_unavailable"
    RECOVERED: Final = "interactions_recovered"
    REFUSED: Final = "interactions_refused"
    DROPPED: Final = "interactions_dropped"
    JOURNAL_UNAVAILABLE: Final = "interactions_journal_unavailable"
    JOURNAL_RECOVERED: Final = "interactions_journal_recovered"
    PRUNED: Final = "interactions_pruned"


class IntegrationEvent:
    """The events that integrations log."""

    SLOW_QUERY: Final = "slow_query"
    TASK: Final = "task_processed"
