"""Whom a request is counted for: a user, a client's address, the sender of a header, or what a callable says."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from hashlib import blake2b
from ipaddress import IPv4Address, IPv6Network, ip_address
from typing import Any

from starlette.requests import HTTPConnection

from belvedere.asgi.client import Network, client_address
from belvedere.context import SCOPE_KEY, RequestContext

KeyFunction = Callable[[Any], Any]
"""What an application gives: takes the request, returns a text (or awaits one), or `None` for the default."""

NOBODY = "-"
"""The address of whoever has none: behind a Unix socket, or in a test."""


_TRANSLATED = IPv6Network("64:ff9b::/96")
"""IPv4 as a translator before servers of IPv6 alone has it (RFC 6052, RFC 7755): one /64 would be all of it."""


class Subject:
    """Whom one request is counted for: the key as the application knows it, and as stores keep it."""

    __slots__ = ("kept", "value")

    def __init__(self, value: str, kept: str) -> None:
        self.value = value
        self.kept = kept


class Addresses:
    """Tells where a request comes from.

    Args:
        trusted: proxies whose `X-Forwarded-For` is believed; `None`: those of `requests.trusted_proxies`, if the
            application is observed, and nobody otherwise.
    """

    def __init__(self, trusted: Sequence[Network] | None) -> None:
        self._trusted = trusted

    def of(self, scope: Any) -> str | None:
        """Return the address, as it is."""
        request: RequestContext | None = scope.get(SCOPE_KEY)
        if request is not None and self._trusted is None:
            return request.client
        return client_address(scope, dict(scope["headers"]), self._trusted or ())

    def subject(self, scope: Any) -> Subject:
        """Return the address as a key; IPv6 by its /64, as that is what one customer is given (RFC 6177)."""
        address = self.of(scope) or NOBODY
        kept = network(address) if ":" in address else address
        return Subject(address, kept)


@lru_cache(maxsize=1024)
def network(address: str) -> str:
    """Return the /64 of an IPv6 address, the IPv4 address that one stands for, and anything else as it is."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return hashed("address", address)
    mapped = getattr(parsed, "ipv4_mapped", None)
    if parsed in _TRANSLATED:
        mapped = IPv4Address(int(parsed) & 0xFFFFFFFF)
    return str(mapped) if mapped else str(IPv6Network((int(parsed) >> 64 << 64, 64)))


def hashed(kind: str, value: str) -> str:
    """Return what stores keep of a key: of one length, and telling nobody what it was."""
    return f"{kind}:{blake2b(value.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"


def finder(
    key: str | KeyFunction | None, addresses: Addresses
) -> Callable[[HTTPConnection], Awaitable[Subject] | Subject]:
    """Return what finds a request's subject.

    Args:
        key: `None` or `"user"`, `"address"`, `"header:NAME"`, or a callable; each falls back to the address, so that
            nobody gets around a limit by leaving something out.

    Raises:
        ValueError: it is none of these.
    """

    def by_user(connection: HTTPConnection) -> Subject:
        request: RequestContext | None = connection.scope.get(SCOPE_KEY)
        user = request.bound.get("user_id") if request is not None and request.bound else None
        if user is None:
            return addresses.subject(connection.scope)
        return Subject(str(user), hashed("user", str(user)))

    def by_address(connection: HTTPConnection) -> Subject:
        return addresses.subject(connection.scope)

    if key is None or key == "user":
        return by_user
    if key == "address":
        return by_address
    if callable(key):
        return _by_call(key, by_user)
    kind, _, name = key.partition(":")
    if kind == "header" and name.strip():
        return _by_header(name.strip(), by_address)
    raise ValueError(f"{key!r} is no key: there are 'user', 'address' and 'header:NAME', or give a callable")


def _by_header(name: str, otherwise: Callable[[HTTPConnection], Subject]) -> Callable[[HTTPConnection], Subject]:
    wanted = name.lower().encode("latin-1")

    def by_header(connection: HTTPConnection) -> Subject:
        for header, value in connection.scope["headers"]:
            if header == wanted and value:
                text = value.decode("latin-1")
                return Subject(text, hashed("header", f"{name.lower()}:{text}"))
        return otherwise(connection)

    return by_header


def _by_call(
    key: KeyFunction, otherwise: Callable[[HTTPConnection], Subject]
) -> Callable[[HTTPConnection], Awaitable[Subject]]:
    async def by_call(connection: HTTPConnection) -> Subject:
        value = await answer(key, connection)
        return otherwise(connection) if value is None else Subject(str(value), hashed("key", str(value)))

    return by_call


async def answer(function: Callable[[Any], Any], connection: HTTPConnection) -> Any:
    """Return what a callable of the application says, sync or async."""
    value = function(connection)
    return await value if inspect.isawaitable(value) else value
