"""What the conformance suite is run on: each integration, with something to do through it."""

from __future__ import annotations

import os

from tests.integrations.subjects._celery import celery_redis
from tests.integrations.subjects._elasticsearch import elasticsearch_async, elasticsearch_sync
from tests.integrations.subjects._httpx import httpx_all, httpx_one
from tests.integrations.subjects._ml import ml
from tests.integrations.subjects._redis import redis_async, redis_sync
from tests.integrations.subjects._s3 import s3_async, s3_session, s3_sync
from tests.integrations.subjects._sentry import sentry
from tests.integrations.subjects._sqlalchemy import sqlalchemy_async, sqlalchemy_sync
from tests.integrations.subjects.subject import SECRET, Subject, without_library

__all__ = ["SECRET", "SUBJECTS", "Subject", "without_library"]

SUBJECTS = {
    "sqlalchemy-async": sqlalchemy_async,
    "sqlalchemy-sync": sqlalchemy_sync,
    "redis-async": redis_async,
    "redis-sync": redis_sync,
    "httpx-all": httpx_all,
    "httpx-one": httpx_one,
    "s3-async": s3_async,
    "s3-sync": s3_sync,
    "s3-session": s3_session,
    "elasticsearch-async": elasticsearch_async,
    "elasticsearch-sync": elasticsearch_sync,
    "ml": ml,
    "celery": celery_redis,
}

if "ALONE" in os.environ:
    # What Sentry's SDK patches in other libraries stays patched: it has a process of its own.
    SUBJECTS = {"sentry": sentry}
