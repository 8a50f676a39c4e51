"""Metrics: their names, types, help texts, label names and buckets.

Names carry their unit, after the Prometheus naming practices (https://prometheus.io/docs/practices/naming/).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

MetricType = Literal["counter", "gauge", "histogram", "info"]


@dataclass(frozen=True, slots=True)
class MetricName:
    """A metric that Belvedere owns: its name as a reader sees it, its type, its help text and its label names."""

    name: str
    type: MetricType
    help: str
    labels: tuple[str, ...] = ()


# HTTP. Renamed, and given further labels, by settings.
HTTP_REQUESTS: Final = MetricName(
    "http_requests_total", "counter", "Requests answered.", ("method", "endpoint", "status")
)
HTTP_DURATION: Final = MetricName(
    "http_request_duration_seconds",
    "histogram",
    "Time from the first byte of a request to the last byte of its answer.",
    ("method", "endpoint"),
)
HTTP_IN_PROGRESS: Final = MetricName("http_requests_in_progress", "gauge", "Requests being served.", ("method",))
HTTP_REQUEST_SIZE: Final = MetricName(
    "http_request_size_bytes", "histogram", "Size of request bodies.", ("method", "endpoint")
)
HTTP_RESPONSE_SIZE: Final = MetricName(
    "http_response_size_bytes", "histogram", "Size of response bodies.", ("method", "endpoint")
)
HTTP_EXCEPTIONS: Final = MetricName(
    "http_exceptions_total",
    "counter",
    "Exceptions that no handler of the application took.",
    ("method", "endpoint", "exception"),
)
WEBSOCKET_CONNECTIONS: Final = MetricName(
    "websocket_connections_total",
    "counter",
    "WebSocket connections by outcome: accepted, refused or failed.",
    ("endpoint", "outcome"),
)
WEBSOCKET_ACTIVE: Final = MetricName(
    "websocket_connections_active", "gauge", "WebSocket connections that are open.", ("endpoint",)
)

# Belvedere's own.
CHECK_UP: Final = MetricName(
    "belvedere_check_up", "gauge", "1 if the health check passed last time, else 0.", ("check",)
)
CHECK_DURATION: Final = MetricName(
    "belvedere_check_duration_seconds", "histogram", "Time that a health check took.", ("check",)
)
LOOP_LAG: Final = MetricName(
    "belvedere_event_loop_lag_seconds", "gauge", "The longest delay of the event loop in the last 15 to 30 seconds."
)
THREADPOOL: Final = MetricName(
    "belvedere_threadpool_threads", "gauge", "Threads of the pool that runs sync endpoints, by state.", ("state",)
)
SERIES_FOLDED: Final = MetricName(
    "belvedere_series_folded_total",
    "counter",
    "Updates that were counted under _overflow, because a metric had reached its bound of label sets.",
    ("metric",),
)
INTERNAL_ERRORS: Final = MetricName(
    "belvedere_internal_errors_total",
    "counter",
    "Failures inside Belvedere that were kept from the application.",
    ("feature",),
)
LINES_DROPPED: Final = MetricName(
    "belvedere_log_lines_dropped_total", "counter", "Log lines dropped because nobody read them fast enough."
)
SPANS_DROPPED: Final = MetricName(
    "belvedere_spans_dropped_total",
    "counter",
    "Spans that were not exported: the queue was full, the collector refused them, or the process ended first.",
    ("reason",),
)
RECORDS_DROPPED: Final = MetricName(
    "belvedere_log_records_dropped_total",
    "counter",
    "Log records that were not exported over OTLP, for the same reasons.",
    ("reason",),
)
METRICS_REFUSED: Final = MetricName(
    "belvedere_metrics_refused_total",
    "counter",
    "Scrapes that were refused, as the token was not shown or the address is not allowed.",
    ("reason",),
)
INFO: Final = MetricName(
    "belvedere_info", "gauge", "Belvedere's version and the features that are on.", ("version", "features")
)

RATE_LIMIT_DECISIONS: Final = MetricName(
    "belvedere_rate_limit_decisions_total",
    "counter",
    "Decisions about requests to limited routes: allowed, refused or exempt; and, besides, those that were made locally"
    " because the shared store was away.",
    ("limit", "outcome"),
)

# Interactions, where that part is installed.
INTERACTIONS_RECORDED: Final = MetricName(
    "interactions_recorded_total", "counter", "Interactions recorded, by their type.", ("event_type",)
)
INTERACTIONS_WRITTEN: Final = MetricName(
    "belvedere_interactions_written_total", "counter", "Interactions that are in the database."
)
INTERACTIONS_RETRIED: Final = MetricName(
    "belvedere_interactions_retried_total",
    "counter",
    "Interactions that have to be written again, as the database did not take them.",
)
INTERACTIONS_DROPPED: Final = MetricName(
    "belvedere_interactions_dropped_total", "counter", "Interactions that were lost, by reason.", ("reason",)
)
INTERACTIONS_PENDING: Final = MetricName(
    "belvedere_interactions_pending", "gauge", "Interactions that wait to be written to the database."
)
INTERACTIONS_JOURNAL: Final = MetricName(
    "belvedere_interactions_journal_bytes", "gauge", "Size of the journals that interactions wait in."
)
INTERACTIONS_OLDEST: Final = MetricName(
    "belvedere_interactions_oldest_seconds", "gauge", "Age of the interaction that waits longest; 0 if none does."
)

# Integrations, where they are installed.
DATABASE_QUERIES: Final = MetricName(
    "database_queries_total",
    "counter",
    "Statements sent to the database, failed ones included.",
    ("operation", "table"),
)
DATABASE_QUERY_DURATION: Final = MetricName(
    "database_query_duration_seconds",
    "histogram",
    "Time from sending a statement until its cursor has returned.",
    ("operation", "table"),
)
DATABASE_SLOW_QUERIES: Final = MetricName(
    "database_slow_queries_total", "counter", "Statements that took as long as a slow one.", ("operation", "table")
)
DATABASE_ACTIVE: Final = MetricName("database_connections_active", "gauge", "Connections that are taken from the pool.")
DATABASE_IDLE: Final = MetricName("database_connections_idle", "gauge", "Open connections that wait in the pool.")

REDIS_OPERATIONS: Final = MetricName(
    "redis_operations_total", "counter", "Commands and pipelines sent to Redis, failed ones included.", ("operation",)
)
REDIS_DURATION: Final = MetricName(
    "redis_operation_duration_seconds", "histogram", "Time from sending a command to its reply.", ("operation",)
)
REDIS_HITS: Final = MetricName("redis_cache_hits_total", "counter", "What was found in a cache.", ("cache",))
REDIS_MISSES: Final = MetricName("redis_cache_misses_total", "counter", "What was not found in a cache.", ("cache",))
HTTP_CLIENT_DURATION: Final = MetricName(
    "http_client_request_duration_seconds",
    "histogram",
    "Time from sending a request to another service until the headers of its answer.",
    ("host", "method", "status"),
)
S3_DURATION: Final = MetricName(
    "s3_operation_duration_seconds",
    "histogram",
    "Time from calling an operation of S3 to the headers of its answer, retries included.",
    ("operation",),
)
ELASTICSEARCH_OPERATIONS: Final = MetricName(
    "elasticsearch_operations_total", "counter", "Calls of Elasticsearch's API, failed ones included.", ("operation",)
)
ELASTICSEARCH_DURATION: Final = MetricName(
    "elasticsearch_operation_duration_seconds",
    "histogram",
    "Time from a call of Elasticsearch's API to its answer, retries included.",
    ("operation",),
)
ML_PREDICTIONS: Final = MetricName(
    "ml_predictions_total", "counter", "Predictions by status: success, error or cancelled.", ("model", "status")
)
ML_DURATION: Final = MetricName(
    "ml_prediction_duration_seconds", "histogram", "Time that a prediction took, failed ones included.", ("model",)
)
ML_HITS: Final = MetricName(
    "ml_cache_hits_total", "counter", "Predictions, or parts of them, that a cache had.", ("model",)
)
ML_MISSES: Final = MetricName("ml_cache_misses_total", "counter", "Those that a cache did not have.", ("model",))
ML_HIT_RATE: Final = MetricName(
    "ml_cache_hit_rate", "gauge", "Share of hits among hits and misses since the start, of all workers.", ("model",)
)
SENTRY_DROPPED: Final = MetricName(
    "belvedere_sentry_dropped_total",
    "counter",
    "Errors, traces and whatever else Sentry's SDK could not send, by what it was and why it was lost.",
    ("category", "reason"),
)

CELERY_TASKS: Final = MetricName(
    "celery_tasks_total",
    "counter",
    "Runs of tasks, by how they ended: Celery's state in lower case.",
    ("task_name", "status"),
)
CELERY_DURATION: Final = MetricName(
    "celery_task_duration_seconds", "histogram", "Time that a run of a task takes, however it ends.", ("task_name",)
)
CELERY_RETRIES: Final = MetricName(
    "celery_task_retries_total", "counter", "Runs of tasks that ended in another try.", ("task_name",)
)
CELERY_QUEUE: Final = MetricName(
    "celery_queue_length", "gauge", "Messages that wait in a queue, when it was looked at last.", ("queue",)
)
CELERY_WORKERS: Final = MetricName(
    "celery_workers_active",
    "gauge",
    "Workers that answer and take from a queue, when they were asked last.",
    ("queue",),
)

HTTP_METRICS: Final = (
    HTTP_REQUESTS,
    HTTP_DURATION,
    HTTP_IN_PROGRESS,
    HTTP_REQUEST_SIZE,
    HTTP_RESPONSE_SIZE,
    HTTP_EXCEPTIONS,
)
WEBSOCKET_METRICS: Final = (WEBSOCKET_CONNECTIONS, WEBSOCKET_ACTIVE)
RATE_LIMIT_METRICS: Final = (RATE_LIMIT_DECISIONS,)
OWN_METRICS: Final = (
    CHECK_UP,
    CHECK_DURATION,
    LOOP_LAG,
    THREADPOOL,
    SERIES_FOLDED,
    INTERNAL_ERRORS,
    LINES_DROPPED,
    SPANS_DROPPED,
    RECORDS_DROPPED,
    METRICS_REFUSED,
    INFO,
)

INTERACTION_METRICS: Final = (
    INTERACTIONS_RECORDED,
    INTERACTIONS_WRITTEN,
    INTERACTIONS_RETRIED,
    INTERACTIONS_DROPPED,
    INTERACTIONS_PENDING,
    INTERACTIONS_JOURNAL,
    INTERACTIONS_OLDEST,
)

DATABASE_METRICS: Final = (
    DATABASE_QUERIES,
    DATABASE_QUERY_DURATION,
    DATABASE_SLOW_QUERIES,
    DATABASE_ACTIVE,
    DATABASE_IDLE,
)

REDIS_METRICS: Final = (REDIS_OPERATIONS, REDIS_DURATION, REDIS_HITS, REDIS_MISSES)

HTTP_CLIENT_METRICS: Final = (HTTP_CLIENT_DURATION,)

SENTRY_METRICS: Final = (SENTRY_DROPPED,)

S3_METRICS: Final = (S3_DURATION,)

ELASTICSEARCH_METRICS: Final = (ELASTICSEARCH_OPERATIONS, ELASTICSEARCH_DURATION)

ML_METRICS: Final = (ML_PREDICTIONS, ML_DURATION, ML_HITS, ML_MISSES, ML_HIT_RATE)

CELERY_METRICS: Final = (CELERY_TASKS, CELERY_DURATION, CELERY_RETRIES, CELERY_QUEUE, CELERY_WORKERS)

SIZE_BUCKETS: Final = (100.0, 1_000.0, 10_000.0, 100_000.0, 1_000_000.0, 10_000_000.0)
"""Bounds of the size histograms in bytes: 100 B to 10 MB by tens."""

DURATION_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds of the duration histogram in seconds: the classic ones of the Prometheus clients."""

OPERATION_BUCKETS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
"""Bounds in seconds for operations of databases and caches: those that OpenTelemetry advises
(https://opentelemetry.io/docs/specs/semconv/db/database-metrics/)."""

TASK_BUCKETS: Final = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 1800.0, 3600.0)
"""Bounds in seconds for tasks, which may take what no request does: from milliseconds to an hour."""
