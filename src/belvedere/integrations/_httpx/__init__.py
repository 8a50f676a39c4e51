"""httpx: the request id and the trace context go out to other services, and how long these take is measured."""

from belvedere.integrations._httpx.part import httpx

__all__ = ["httpx"]
