"""Elasticsearch: a check of the cluster, metrics and spans of what goes through a client of elasticsearch-py."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from belvedere.integrations.extras import require
from belvedere.integrations.hooks import hook, unhook
from belvedere.parts import Check, Host, Probe

if TYPE_CHECKING:
    import elasticsearch as library

    from belvedere.integrations._elasticsearch.requests import Requests

PERFORM = "perform_request"
"""What every call of the API goes through, those of namespaces such as `client.indices` too."""
SPAN = "span"
"""What makes the library's own span of it, with the whole URL; ours takes its place."""


def elasticsearch(
    client: library.AsyncElasticsearch | library.Elasticsearch,
    *,
    name: str = "elasticsearch",
    critical: bool = False,
    probes: Iterable[Probe] = ("detailed",),
    timeout: float | None = None,
) -> Elasticsearch:
    """Return a part that watches a client of elasticsearch-py.

        belvedere.observe(app, integrations.elasticsearch(client))

    Args:
        client: async or sync; what `client.options(…)` makes of it is seen as well.
        name: of the check; two clusters need two.
        critical: whether the check's failure takes the instance out of traffic.
        probes: where the check counts.
        timeout: seconds until the check has failed; by default `health.timeout`.

    Raises:
        ImportError: elasticsearch is not installed.
        TypeError: it is no client of it.
    """
    module = require("elasticsearch", "elasticsearch", "belvedere[elasticsearch]")
    if not isinstance(client, module.AsyncElasticsearch | module.Elasticsearch):
        raise TypeError(
            f"integrations.elasticsearch: {type(client).__name__} is no client of elasticsearch-py, async or sync"
        )
    return Elasticsearch(client, name, {"critical": critical, "probes": probes, "timeout": timeout})


class Elasticsearch:
    """What `elasticsearch` returns."""

    def __init__(self, client: Any, name: str, options: dict[str, Any]) -> None:
        from belvedere.integrations._elasticsearch.asking import Asking

        self.feature = name
        self.client = client
        # Clients that `options()` makes are others of the same class.
        self._class = next(one for one in type(client).__mro__ if PERFORM in vars(one))
        self._telemetry = type(client._otel)
        self._asking = Asking(client)
        message = f"{name[:1].upper()}{name[1:]} connection failed"
        self._check = Check(name, self._asking.call, message=message, **options)
        self._requests: Requests | None = None

    @property
    def why(self) -> str:
        """What the report says; nothing of the URL."""
        return f"an {type(self.client).__name__} client"

    def install(self, host: Host) -> None:
        """Check, count and time from now on."""
        from belvedere.integrations._elasticsearch.requests import Requests

        if self._requests is not None:
            raise ValueError("this part is installed already: make one for each application")
        requests = Requests(self.client, host)
        # What may be refused comes first: then there is nothing to take back.
        host.check(self._check)
        health = host.settings.health
        self._asking.timeout = self._check.timeout or (health.timeout if health is not None else None)
        self._requests = requests
        requests.watch.begin()
        hook(self, self._class, PERFORM, requests.wrap)
        hook(self, self._telemetry, SPAN, requests.wrap_span)

    def uninstall(self) -> None:
        """Leave the client as it was."""
        unhook(self, self._class, PERFORM)
        unhook(self, self._telemetry, SPAN)
        if self._requests is not None:
            self._requests.watch.end()
        self._requests = None
