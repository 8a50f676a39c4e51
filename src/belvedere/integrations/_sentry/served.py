"""Whose events are to come."""

from __future__ import annotations

from contextvars import ContextVar

from belvedere.context import RequestContext

served: ContextVar[RequestContext | None] = ContextVar("belvedere_sentry_request", default=None)
"""The request that this task serves or has just served: Sentry's own layer stands outside the pass, and makes the
events of unhandled exceptions when the request is over."""
