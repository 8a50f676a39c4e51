"""Parts for the libraries that services stand on: each brings what applies of check, metrics, spans and ids.

One package and one verb for each library. A verb imports its library when it is called, and names the `pip install`
of the extra where it is missing.
"""

from belvedere.integrations._celery import celery
from belvedere.integrations._elasticsearch import elasticsearch
from belvedere.integrations._httpx import httpx
from belvedere.integrations._ml import ml
from belvedere.integrations._redis import redis
from belvedere.integrations._s3 import s3
from belvedere.integrations._sentry import sentry
from belvedere.integrations._sqlalchemy import sqlalchemy

__all__ = ["celery", "elasticsearch", "httpx", "ml", "redis", "s3", "sentry", "sqlalchemy"]
