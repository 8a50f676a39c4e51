"""What Belvedere asks a Redis itself, past what counts the application's commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import NoPermissionError

DETAILS = ("connected_clients", "used_memory_human")


def asking(client: Any, ping: Callable[[], Any] | None = None) -> Callable[[], Any]:
    """Return the call of a check, which tells how many clients there are and what memory they take.

    Whoever may not ask for that is told at least whether it answers.

    Args:
        client: of redis-py.
        ping: what is called besides; what it raises, and its `False`, are the check's.

    Raises:
        TypeError: it is no client of one Redis.
    """

    # The class's own, which nobody counts.
    call: Any = (AsyncRedis if isinstance(client, AsyncRedis) else Redis).execute_command

    async def ask() -> Any:
        try:
            found = _details(await call(client, "INFO"))
        except NoPermissionError:
            await call(client, "PING")
            found = {}
        return False if ping is not None and await ping() is False else found

    def ask_in_thread() -> Any:
        try:
            found = _details(call(client, "INFO"))
        except NoPermissionError:
            call(client, "PING")
            found = {}
        return False if ping is not None and ping() is False else found

    if isinstance(client, AsyncRedis):
        return ask
    if isinstance(client, Redis):
        return ask_in_thread
    raise TypeError(f"integrations.redis: {type(client).__name__} is no Redis of redis-py, sync or async")


def _details(info: Any) -> dict[str, Any]:
    return {name: info[name] for name in DETAILS if name in info}
