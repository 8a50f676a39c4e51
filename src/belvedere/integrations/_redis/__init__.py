"""Redis: a check, metrics and spans of what goes through a client of redis-py, and hits and misses of caches in it."""

from belvedere.integrations._redis.part import redis

__all__ = ["redis"]
