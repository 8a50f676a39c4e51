"""Attributes of spans, and what marks SQL statements."""

from __future__ import annotations

from typing import Final

OWN_STATEMENT: Final = "belvedere_own"
"""The execution option of Belvedere's own SQL statements, for whoever measures or traces an engine."""


class SpanAttribute:
    """Attributes of spans that no module of OpenTelemetry's conventions names for us.

    The others of the server span are those of its stable HTTP conventions:
    https://opentelemetry.io/docs/specs/semconv/http/http-spans/; those of Celery's, of its conventions for messaging:
    https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/.
    """

    REQUEST_ID: Final = "belvedere.request_id"
    MODEL: Final = "belvedere.model"
    """Of the span of a prediction; OpenTelemetry's conventions know generative models alone."""
    USER_ID: Final = "user.id"
    """https://opentelemetry.io/docs/specs/semconv/registry/attributes/user/; what was bound as `user_id`."""
    TASK_NAME: Final = "celery.task_name"
    TASK_STATUS: Final = "celery.status"
    TASK_RETRIES: Final = "celery.retries"
