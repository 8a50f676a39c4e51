"""Sentry: errors with the request's ids, user and bound fields; traces and profiles by rates of their own."""

from belvedere.integrations._sentry.part import sentry

__all__ = ["sentry"]
