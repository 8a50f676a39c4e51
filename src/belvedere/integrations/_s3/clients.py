"""Where clients of S3 come from: one that is there, all that a session makes, or what a callable returns later."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Any

from botocore.client import BaseClient

from belvedere.integrations._s3.calls import Calls
from belvedere.integrations._s3.kinds import is_async, of_s3, session_of
from belvedere.integrations.hooks import hook, unhook

CALL = "_make_api_call"
"""What every operation of a client goes through; OpenTelemetry's instrumentation wraps it as well."""
MADE = "creating-client-class.s3"
"""https://docs.aws.amazon.com/boto3/latest/guide/events.html"""


class Clients:
    """Hooks into clients, and opens one where there is none yet.

    Args:
        given: a client, a session, or a callable.
        options: of a client made of a session.

    Raises:
        TypeError: it is none of these.
    """

    def __init__(self, given: Any, options: dict[str, Any]) -> None:
        self.client: Any = None
        self._given = given
        self._options = options
        self._stack = AsyncExitStack()
        self._calls: Calls | None = None
        self.session = session_of(given)
        if isinstance(given, BaseClient):
            self.client = of_s3(given)
        elif self.session is None and (not callable(given) or hasattr(given, "__aenter__")):
            raise TypeError(
                f"integrations.s3: {type(given).__name__} is no client, no session and no callable; "
                "give the session where aioboto3's clients are not open yet"
            )
        elif options and self.session is None:
            raise TypeError("integrations.s3: options are for a session, whose client the check makes itself")

    @property
    def kind(self) -> str:
        """What was given, in words."""
        if isinstance(self._given, BaseClient):
            return "an async client" if is_async(self._given) else "a client"
        return "a callable's client" if self.session is None else "clients of a session"

    @property
    def on_loop(self) -> bool:
        """Whether the client is known to be one that is awaited."""
        if self.session is not None:
            return "aio" in type(self.session).__module__
        return self.client is not None and is_async(self.client)

    def watch(self, calls: Calls) -> None:
        """Have operations go through `calls`."""
        self._calls = calls
        if self.session is not None:
            calls.begin(self.session)
            self.session.get_component("event_emitter").register_first(MADE, self._class_made)
        elif self.client is not None:
            calls.begin(self.client)
            hook(self, self.client, CALL, partial(calls.wrap, self.client))

    def forget(self) -> None:
        """Leave everything as it was; clients that a session has made pass on what they are called with."""
        self._calls = None
        if self.session is not None:
            self.session.get_component("event_emitter").unregister(MADE, self._class_made)
        elif self.client is not None:
            unhook(self, self.client, CALL)
        if not isinstance(self._given, BaseClient):
            self.client = None

    def make(self) -> Any:
        """Return a client, or what opens one; raises what the application's callable raises."""
        if self.session is not None:
            make = self._given.create_client if self._given is self.session else self._given.client
            return make("s3", **self._options)
        return self._given()

    def use(self, client: Any) -> Any:
        """Take a client that was made; return it."""
        self.client = of_s3(client)
        if self.session is None and self._calls is not None:
            self._calls.begin(client)
            hook(self, client, CALL, partial(self._calls.wrap, client))
        return client

    async def open(self) -> None:
        """Have a client now; where that fails, the check will tell."""
        if self.client is None:
            with suppress(Exception):
                # A sync session takes its time, and one thread at a time: the application does not serve yet.
                aside = self.session is not None and not self.on_loop
                await self.enter(await asyncio.to_thread(self.make) if aside else self.make())

    async def enter(self, made: Any) -> Any:
        """Return a client, opened if it was not."""
        if not isinstance(made, BaseClient):
            made = await self._stack.enter_async_context(made)
        return self.use(made)

    async def close(self) -> None:
        """Close what was opened here."""
        client = self.client
        if not isinstance(self._given, BaseClient) and client is not None:
            self.client = None
            if self.session is None:
                unhook(self, client, CALL)
            elif not is_async(client):
                client.close()
        await self._stack.aclose()

    def _class_made(self, *, class_attributes: dict[str, Any], base_classes: list[Any], **_: Any) -> None:
        if self._calls is not None:
            call = class_attributes.get(CALL) or next(
                getattr(base, CALL) for base in base_classes if hasattr(base, CALL)
            )
            class_attributes[CALL] = self._calls.wrap(None, call)
