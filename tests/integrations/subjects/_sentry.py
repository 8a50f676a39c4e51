"""Sentry's SDK, whose transport is full."""

from __future__ import annotations

from typing import Any

import pytest
import sentry_sdk

from belvedere import conventions, integrations
from tests.integrations.subjects.subject import SECRET, Relays, Subject


async def sentry(request: pytest.FixtureRequest, relays: Relays) -> Subject:
    class Full(sentry_sdk.Transport):
        def capture_envelope(self, envelope: Any) -> None:
            self.record_lost_event("queue_overflow", data_category="error")

    async def use() -> None:
        if sentry_sdk.is_initialized():
            sentry_sdk.capture_message(SECRET)

    async def close() -> None:
        assert not sentry_sdk.is_initialized()

    return Subject(
        extra="belvedere[sentry]",
        module="sentry_sdk",
        absent="integrations.sentry('http://key@localhost/7')",
        part=lambda **options: integrations.sentry(f"http://{SECRET}@127.0.0.1:9/7", transport=Full, **options),
        use=use,
        close=close,
        metrics=conventions.SENTRY_METRICS,
        hooks=lambda: (sentry_sdk.is_initialized(), sentry_sdk.get_client().options["before_send"]),
        checked=False,
        shared=False,
    )
