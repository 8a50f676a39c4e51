"""Who may read the metrics: whoever shows the token, from the networks that are allowed; and who was refused."""

from __future__ import annotations

import hmac
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Literal

from belvedere import failures
from belvedere.asgi.client import client_address, inside, masked
from belvedere.conventions import Event
from belvedere.settings import MetricSettings, Network

LOG_EVERY = 60.0
"""Seconds between two log events about scrapes that were refused."""

Reason = Literal["token", "address"]


class Gate:
    """Decides who may read; counts those who may not, and logs them once a minute at most.

    Args:
        settings: token and networks that may read.
        trusted_proxies: behind which the scraper's own address is taken from `X-Forwarded-For`.
        logger: gets `metrics_refused`; `None`: no events.
        client: how an address is shown there, as in `logs.client`.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        settings: MetricSettings,
        trusted_proxies: tuple[Network, ...] = (),
        logger: Any = None,
        *,
        client: Literal["full", "masked"] | None = "full",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._token = settings.token.get_secret_value().encode() if settings.token else None
        self._allow = settings.allow
        self._trusted_proxies = trusted_proxies
        self._logger = logger
        self._client = client
        self._clock = clock
        # A condition that is set shows its series from the start, so that an alert sees the first refusal.
        conditions: Mapping[Reason, object] = {"token": self._token, "address": self._allow}
        self.refused: Counter[str] = Counter({reason: 0 for reason, is_set in conditions.items() if is_set})
        self._since_line = 0
        self._last_line = float("-inf")
        self._lock = threading.Lock()

    def refuses(self, scope: Mapping[str, Any]) -> Reason | None:
        """Return why whoever asks may not read, or `None`; from any thread.

        Args:
            scope: of ASGI, of which `client` and `headers` are read.
        """
        address: str | None = None
        if self._allow or self._token is not None:
            address = client_address(dict(scope), dict(scope["headers"]), self._trusted_proxies)
        if self._allow and (address is None or not inside(address, self._allow)):
            return self._refused("address", address)
        if self._token is not None and not self._shown(scope):
            return self._refused("token", address)
        return None

    def _shown(self, scope: Mapping[str, Any]) -> bool:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        # Two of them are none.
        shown: bytes = given[0] if len(given) == 1 else b""
        if shown[:6].lower() == b"bearer":
            # The scheme's case does not matter (RFC 9110, section 11.1).
            shown = b"Bearer" + shown[6:]
        # In constant time, so that answers do not tell how much of a guess was right.
        return hmac.compare_digest(shown, b"Bearer " + (self._token or b""))

    def _refused(self, reason: Reason, address: str | None) -> Reason:
        with self._lock:
            self.refused[reason] += 1
            self._since_line += 1
            now = self._clock()
            if now - self._last_line < LOG_EVERY:
                return reason
            self._last_line = now
            refused, self._since_line = self._since_line, 0
        if self._logger is not None:
            try:
                self._logger.warning(
                    Event.METRICS_REFUSED, client=self._to_show(address), reason=reason, refused=refused
                )
            except Exception as error:  # a broken logger changes no answer
                failures.contain("metrics", error)
        return reason

    def _to_show(self, address: str | None) -> str | None:
        if address is None or self._client is None:
            return None
        return address if self._client == "full" else masked(address)
