"""Who is asking, when proxies stand between."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

Network = IPv4Network | IPv6Network


def inside(address: str, networks: Sequence[Network]) -> bool:
    """Whether `address` lies in one of `networks`; what is no address does not."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return any((mapped or parsed) in network for network in networks if network.version == (mapped or parsed).version)


def client_address(scope: dict[str, Any], headers: dict[bytes, bytes], trusted: Sequence[Network]) -> str | None:
    """Return the address of whoever asked: the connection's, or behind trusted proxies the nearest untrusted hop.

    `X-Forwarded-For` is read from its end, as only what trusted proxies appended can be believed.
    """
    peer = scope.get("client")
    address: str | None = peer[0] if peer else None
    if not trusted or address is None or not inside(address, trusted):
        return address
    forwarded = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for")
    for hop in reversed(forwarded.decode("latin-1").split(",")):
        hop = hop.strip()
        try:
            ip_address(hop)
        except ValueError:
            break
        address = hop
        if not inside(hop, trusted):
            break
    return address


def masked(client: str) -> str | None:
    """Return the network that a client is in: the last octet of IPv4 and the last 80 bits of IPv6 are zero.

    What is no address is nobody that could be masked, and is left out.
    """
    try:
        address = ip_address(client.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    hidden = 8 if address.version == 4 else 80
    return str(type(address)(int(address) >> hidden << hidden))


def is_secure(scope: dict[str, Any], headers: dict[bytes, bytes], trusted: Sequence[Network]) -> bool:
    """Whether the request came over TLS, to us or to a trusted proxy."""
    if scope.get("scheme") in {"https", "wss"}:
        return True
    peer = scope.get("client")
    if not trusted or not peer or not inside(peer[0], trusted):
        return False
    return headers.get(b"x-forwarded-proto", b"").strip().lower() in {b"https", b"wss"}
