"""What one installed part counts of a Celery application's tasks, and with what it makes spans and lines."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from belvedere.conventions import (
    CELERY_DURATION,
    CELERY_RETRIES,
    CELERY_TASKS,
    TASK_BUCKETS,
    TASK_LOGGER,
    IntegrationEvent,
)
from belvedere.integrations.spans import ClientSpans
from belvedere.parts import Host

FEATURE = "celery"
RETRY = "retry"
_INSTRUMENTATION = ("opentelemetry.instrumentation.celery", "CeleryInstrumentor")
_SYSTEMS = {"amqp": "rabbitmq", "amqps": "rabbitmq", "pyamqp": "rabbitmq", "rediss": "redis", "sqs": "aws_sqs"}
"""`messaging.system` by the scheme of the broker's URL, where they differ:
https://opentelemetry.io/docs/specs/semconv/registry/attributes/messaging/#messaging-system."""
_LEVELS = {"success": "info", "failure": "error"}
_BUILT_IN = "celery."


class Figures:
    """What one application shows of tasks.

    Args:
        app: of Celery.
        host: has metrics, provider, log and settings.
    """

    def __init__(self, app: Any, host: Host) -> None:
        self._app = app
        self.tasks, self.retries = (
            host.metric("counter", metric.name, metric.help, metric.labels) for metric in (CELERY_TASKS, CELERY_RETRIES)
        )
        duration = CELERY_DURATION
        self.duration = host.metric("histogram", duration.name, duration.help, duration.labels, buckets=TASK_BUCKETS)
        self.spans = ClientSpans(host, _INSTRUMENTATION, {})
        self.header = host.settings.requests.header
        self.hex = host.settings.requests.format == "hex"
        logs = host.settings.logs
        self.log = host.logger(TASK_LOGGER) if logs is not None and logs.access else None

    @property
    def system(self) -> str:
        """The broker's kind; nothing else of its URL."""
        url = self._app.conf.broker_write_url or self._app.conf.broker_url or "amqp"
        scheme = urlsplit(str(url).partition(";")[0]).scheme.partition("+")[0] or "amqp"
        return _SYSTEMS.get(scheme, scheme)

    def count(self, task: str, status: str, seconds: float | None) -> None:
        """Count how a run ended; without a time it did not end in a process that could take it."""
        self.tasks.labels(task, status).inc()
        if status == RETRY:
            self.retries.labels(task).inc()
        if seconds is not None:
            self.duration.labels(task).observe(seconds)

    def tell(
        self, task: str, status: str, seconds: float | None, error: BaseException | None, expected: bool, **fields: Any
    ) -> None:
        """Write the one line of a run.

        Args:
            task: its name.
            status: how it ended.
            seconds: how long it took, where that is known.
            error: what it raised.
            expected: whether the task names that among what it throws: it is then told without its traceback.
            fields: what else is known; `None` is left out.
        """
        if self.log is None:
            return
        level = _LEVELS.get(status, "warning")
        if status == "failure" and expected:
            level = "warning"
        elif level != "error" and task.startswith(_BUILT_IN):
            level = "debug"  # Celery's own look every second whether a chord is done
        told: dict[str, Any] = {"task_name": task, "status": status}
        told["latency_ms"] = None if seconds is None else round(seconds * 1000, 3)
        told |= fields
        if error is not None and (status != "failure" or expected):
            told |= {"exception_type": type(error).__name__, "exception_message": str(error)}
        elif error is not None:
            told["exc_info"] = error
        write = getattr(self.log, level)
        write(IntegrationEvent.TASK, **{key: value for key, value in told.items() if value is not None})
