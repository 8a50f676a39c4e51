"""httpx: the request id and the trace context go out to other services, and how long these take is measured."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from belvedere.integrations.extras import require
from belvedere.integrations.hooks import hook, unhook
from belvedere.parts import Host

if TYPE_CHECKING:
    import httpx as library

    from belvedere.integrations._httpx.requests import Requests

SEND = "_send_single_request"
"""What sends one request, be it of a redirect: each may go to another host. It has no public name."""


def httpx(
    hosts: Iterable[str] | None = None,
    client: library.Client | library.AsyncClient | None = None,
    *,
    name: str = "httpx",
) -> Httpx:
    """Return a part that watches what is asked of other services.

        belvedere.observe(app, integrations.httpx(hosts=["api.partner.example", "*.internal"]))

    Args:
        hosts: where request id and trace context go: names, with a port where one is meant (`"cache:8080"`), or
            `"*.domain"` for all below it; none given: every host.
        client: the one that is watched; by default all clients of the process, those that are there already as well.
        name: in the report.

    Raises:
        ImportError: httpx is not installed.
        TypeError: it is no client of httpx, or `hosts` is one text.
        ValueError: `hosts` has URLs.
    """
    module = require("httpx", "httpx", "belvedere[httpx]")
    if isinstance(hosts, str):
        raise TypeError(f"integrations.httpx: hosts are a list; write [{hosts!r}]")
    hosts = None if hosts is None else tuple(host.lower() for host in hosts)
    if wrong := [host for host in hosts or () if "/" in host or "@" in host]:
        # Whatever else it is, it would match nothing, in silence.
        raise ValueError(f"integrations.httpx: {len(wrong)} of hosts are no names; write 'api.example', not its URL")
    if client is None:
        targets: list[Any] = [module.Client, module.AsyncClient]
    elif isinstance(client, module.Client | module.AsyncClient):
        targets = [client]
    else:
        raise TypeError(f"integrations.httpx: {type(client).__name__} is no Client or AsyncClient of httpx")
    if not all(callable(getattr(target, SEND, None)) for target in targets):
        raise TypeError(f"integrations.httpx: httpx {module.__version__} is a version that this does not know")
    return Httpx(targets, hosts, name)


class Httpx:
    """What `httpx` returns."""

    def __init__(self, targets: list[Any], hosts: tuple[str, ...] | None, name: str) -> None:
        self.feature = name
        self._targets = targets
        self._hosts = hosts
        self._requests: Requests | None = None

    @property
    def why(self) -> str:
        """What the report says."""
        return f"ids go to {'every host' if self._hosts is None else ', '.join(self._hosts) or 'no host'}"

    def install(self, host: Host) -> None:
        """Send ids and measure from now on."""
        from belvedere.integrations._httpx.requests import Requests

        if self._requests is not None:
            raise ValueError("this part is installed already: make one for each application")
        self._requests = Requests(host, self._hosts)
        for target in self._targets:
            hook(self, target, SEND, self._requests.wrap)

    def uninstall(self) -> None:
        """Leave httpx as it was."""
        if self._requests is not None:
            self._requests.active = False
        for target in self._targets:
            unhook(self, target, SEND)
        self._requests = None
