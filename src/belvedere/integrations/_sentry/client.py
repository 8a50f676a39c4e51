"""The one client of the SDK that a process has: made here, or the application's own; shared by all its applications."""

from __future__ import annotations

import asyncio
import encodings.idna  # noqa: F401 - the SDK's thread imports it with its first event; forked meanwhile, a child's never could
import functools
import os
import time
import warnings
from collections.abc import Callable
from typing import Any, Final

import sentry_sdk
from sentry_sdk.transport import make_transport

from belvedere import failures
from belvedere.conventions import SENTRY_DROPPED
from belvedere.integrations._sentry.events import Events
from belvedere.integrations._sentry.losses import Losses, hush, hush_no_more
from belvedere.integrations._sentry.options import FEATURE, Wanted
from belvedere.integrations.hooks import hook, unhook
from belvedere.parts import Host
from belvedere.redaction import Redactor

_LAST: Final = 1.0
"""Seconds that an event waits for being sent when the application is stopping already."""
_UNSENT: Final = 0.2
"""Seconds that the end of the process waits once waiting has been in vain."""

_active: Connection | None = None


def join(host: Host, wanted: Wanted, user: object) -> Connection:
    """Return the process's connection, which the first to ask makes."""
    global _active
    if _active is None:
        _active = Connection(host, wanted)
    connection = _active
    try:
        connection.join(host, user)
    except BaseException:
        connection.leave(user)
        raise
    return connection


class Connection:
    """A client, and what we have put into it."""

    def __init__(self, host: Host, wanted: Wanted) -> None:
        self._losses = Losses()
        self._before = sentry_sdk.get_global_scope().client
        self.own = not sentry_sdk.is_initialized()
        self._wanted = wanted
        if self.own:
            with warnings.catch_warnings():
                # Of profiles by rate, which sentry-sdk 2 has, and of what older ones import.
                warnings.simplefilter("ignore", DeprecationWarning)
                warnings.simplefilter("ignore", PendingDeprecationWarning)
                sentry_sdk.init(**wanted.arguments(host.settings))
        self.client: Any = sentry_sdk.get_client()
        self._redactor = Redactor.after(host.settings)
        self._hooked: dict[str, tuple[Any, Any]] = {}
        self._stopping = False
        self._in_vain = False
        hush()
        self._hook()

    def describe(self, wanted: Wanted) -> str:
        """Return what the report says to who asked for this."""
        if not self.own:
            return "by the application's own sentry_sdk.init, with our tags and redaction"
        if wanted != self._wanted:
            return "another application of this process set Sentry up first"
        return wanted.describe()

    def join(self, host: Host, user: object) -> None:
        """Count losses in the host's application too."""
        metric = SENTRY_DROPPED
        self._losses.counters[id(user)] = host.metric("counter", metric.name, metric.help, metric.labels)

    def leave(self, user: object) -> None:
        """Take everything out of the SDK again once nobody uses it any more."""
        global _active
        self._losses.counters.pop(id(user), None)
        if self._losses.counters:
            return
        _active = None
        hush_no_more()
        self._unhook()
        if self.own:
            self.client.close()
            scope = sentry_sdk.get_global_scope()
            if scope.client is self.client:
                scope.set_client(self._before)

    async def started(self) -> None:
        """Leave sending to the SDK; where the application has initialised it since, follow."""
        self._stopping = False
        client = sentry_sdk.get_client()
        if client is not self.client and client.is_active():
            self._unhook()
            self.own = False
            self.client = client
            self._hook()

    async def stopping(self) -> None:
        """Send what waits, within the SDK's `shutdown_timeout`; from now on each event is sent at once.

        Servers may end the process by a signal when the application has stopped, which nothing outlives.
        """
        self._stopping = True
        await asyncio.to_thread(self._flush, float(self.client.options["shutdown_timeout"]))

    def _flush(self, timeout: float) -> None:
        began = time.monotonic()
        self.client.flush(timeout=timeout)
        if time.monotonic() - began >= timeout:
            self._in_vain = True
            if self.own:
                self.client.options["shutdown_timeout"] = _UNSENT

    # What is put into the client.

    def _hook(self) -> None:
        options = self.client.options
        for name, around in Events(self._redactor, options).hooks.items():
            if name in options:
                theirs = options[name]
                options[name] = ours = around(theirs)
                self._hooked[name] = theirs, ours
        self._watch()

    def _unhook(self) -> None:
        for name, (theirs, ours) in self._hooked.items():
            if self.client.options.get(name) is ours:
                self.client.options[name] = theirs
        self._hooked.clear()
        self._watch_no_more()

    def _watch(self) -> None:
        if self.client.transport is not None:
            hook(self, self.client.transport, "record_lost_event", self._losses.wrap)
            hook(self, self.client.transport, "capture_envelope", self._sending)

    def _watch_no_more(self) -> None:
        if self.client.transport is not None:
            unhook(self, self.client.transport, "record_lost_event")
            unhook(self, self.client.transport, "capture_envelope")

    def _sending(self, capture: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(capture)
        def captured(envelope: Any) -> None:
            capture(envelope)
            # Reports of what was dropped come from the very thread that sends.
            if self._stopping and not self._in_vain and any(item.type != "client_report" for item in envelope.items):
                self._flush(_LAST)

        return captured

    def forked(self) -> None:
        """Begin anew in a child: the parent keeps its connections, and what waits there to be sent."""
        if self.own:
            self._watch_no_more()
            self.client.transport = make_transport(self.client.options)
            if self.client.monitor is not None:
                self.client.monitor.transport = self.client.transport
            self._watch()


def _forked() -> None:
    if _active is not None:
        try:
            _active.forked()
        except Exception as error:
            failures.contain(FEATURE, error)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
