"""Rate limits on routes, routers and whole applications, counted in Redis or in this process."""

from belvedere.ratelimit.limiter import RateLimiter

__all__ = ["RateLimiter"]
