"""Sentry: errors with the request's ids, user and bound fields; traces and profiles by rates of their own."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from belvedere.context import RequestContext
from belvedere.integrations._sentry.options import LIBRARIES, Wanted, wanted
from belvedere.integrations._sentry.served import served
from belvedere.integrations.extras import require
from belvedere.parts import Host

if TYPE_CHECKING:
    from belvedere.integrations._sentry.client import Connection


def sentry(
    dsn: str | None = None,
    traces: float | None = None,
    profiles: float | None = None,
    *,
    name: str = "sentry",
    integrations: Iterable[Any] = LIBRARIES,
    **options: Any,
) -> Sentry:
    """Return a part that sends errors to Sentry.

        belvedere.observe(app, integrations.sentry(traces=0.1, profiles=0.1))

    Where the application has called `sentry_sdk.init` before, its client is used as it is, with our tags and redaction.

    Args:
        dsn: by default `SENTRY_DSN`; without one nothing is sent, and nothing of the SDK is imported.
        traces: share of requests and tasks, 0 to 1, that are traced by Sentry; by default
            `SENTRY_TRACES_SAMPLE_RATE`, else none.
        profiles: share of the traced ones that are profiled; by default `SENTRY_PROFILES_SAMPLE_RATE`, else none.
        name: in the report.
        integrations: which of Sentry's own are on, where their libraries are installed: names of `LIBRARIES`, or
            objects of `sentry_sdk.integrations`. There are no others besides.
        options: further ones of `sentry_sdk.init`; they win over what is chosen here.

    Raises:
        ImportError: there is a DSN, and sentry-sdk is not installed.
        SettingsError: naming what of DSN and rates is wrong; it never shows the DSN.
        TypeError: the SDK has no such option.
        ValueError: there is no integration of that name.
    """
    asked = wanted(dsn, traces, profiles, tuple(integrations), options)
    if asked.dsn:
        require("sentry", "sentry_sdk", "belvedere[sentry]")
        asked.check()
    return Sentry(asked, name)


class Sentry:
    """What `sentry` returns."""

    def __init__(self, asked: Wanted, name: str) -> None:
        self.feature = name
        self._wanted = asked
        self._installed = False
        self._connection: Connection | None = None

    @property
    def state(self) -> Literal["on", "off"]:
        """Whether anything is sent."""
        return "on" if self._wanted.dsn or self._connection is not None else "off"

    @property
    def why(self) -> str:
        """What the report says; nothing of the DSN but its host."""
        if self._connection is not None:
            return self._connection.describe(self._wanted)
        return self._wanted.describe() if self._wanted.dsn else "no DSN: set SENTRY_DSN"

    def install(self, host: Host) -> None:
        """Send errors from now on."""
        if self._installed:
            raise ValueError("this part is installed already: make one for each application")
        if self._wanted.dsn or _initialised():
            from belvedere.integrations._sentry.client import join

            self._connection = connection = join(host, self._wanted, self)
            host.observer(self)
            host.on_start(connection.started)
            host.on_stop(connection.stopping)
        self._installed = True

    def uninstall(self) -> None:
        """Leave the SDK as it was; what it has patched in other libraries does nothing any more."""
        connection, self._connection = self._connection, None
        self._installed = False
        if connection is not None:
            connection.leave(self)

    def begin(self, request: RequestContext) -> None:
        """Remember whose events are to come."""
        served.set(request)

    def finish(self, request: RequestContext) -> None:
        """Remember it also of a WebSocket that nobody accepted, which has not begun."""
        served.set(request)


def _initialised() -> bool:
    """Whether the application has initialised the SDK itself; it is not imported to find out."""
    sdk = sys.modules.get("sentry_sdk")
    return sdk is not None and bool(sdk.is_initialized())
