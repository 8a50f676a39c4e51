"""Celery: ids and traces that cross into tasks, what becomes of tasks, queues, and whether workers answer."""

from belvedere.integrations._celery.part import celery

__all__ = ["celery"]
