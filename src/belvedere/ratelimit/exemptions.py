"""Who is not limited."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import ip_network
from typing import Any

from starlette.requests import HTTPConnection

from belvedere.asgi.client import Network, inside
from belvedere.ratelimit.keys import Addresses, Subject, answer

Exempt = str | Callable[[Any], Any]
"""A network or an address, a key, or a callable that takes the request and says whether it is exempt."""


class Exemptions:
    """Those whom a limit does not apply to.

    Args:
        given: one, or several.
        addresses: tells where a request comes from.

    Attributes:
        any: whether there is anybody.

    Raises:
        TypeError: one is neither a text nor a callable.
    """

    def __init__(self, given: Exempt | Iterable[Exempt] | None, addresses: Addresses) -> None:
        self._addresses = addresses
        self._networks: list[Network] = []
        self._keys: set[str] = set()
        self._calls: list[Callable[[Any], Any]] = []
        several: Iterable[Any] = [given] if isinstance(given, str) or callable(given) else given or ()
        for one in several:
            if callable(one):
                self._calls.append(one)
            elif isinstance(one, str):
                self._add(one)
            else:
                raise TypeError(f"{one!r} exempts nobody: give a network, a key, or a callable that takes the request")
        self.any = bool(self._networks or self._keys or self._calls)

    async def hold(self, connection: HTTPConnection, subject: Subject) -> bool:
        """Whether a request is exempt."""
        if subject.value in self._keys:
            return True
        if self._networks:
            address = self._addresses.of(connection.scope)
            if address is not None and inside(address, self._networks):
                return True
        for call in self._calls:
            if await answer(call, connection):
                return True
        return False

    def _add(self, text: str) -> None:
        try:
            self._networks.append(ip_network(text, strict=False))
        except ValueError:
            self._keys.add(text)
