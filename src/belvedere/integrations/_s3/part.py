"""S3: a check of a bucket, durations and spans of what goes through clients of boto3, aioboto3 and aiobotocore."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from belvedere.integrations.extras import require
from belvedere.parts import Check, Host, Probe

if TYPE_CHECKING:
    from belvedere.integrations._s3.calls import Calls


def s3(
    client: Any,
    bucket: str,
    *,
    name: str = "s3",
    critical: bool = False,
    probes: Iterable[Probe] = ("detailed",),
    timeout: float | None = None,
    options: Mapping[str, Any] | None = None,
) -> S3:
    """Return a part that watches clients of S3.

        belvedere.observe(app, integrations.s3(boto3.client("s3"), bucket="videos"))

        session = aioboto3.Session()   # whose clients are opened and closed as it suits the application
        belvedere.observe(app, integrations.s3(session, bucket="videos"))

    Args:
        client: a client of boto3, or an open one of aioboto3 or aiobotocore; a session, all of whose S3 clients are
            seen from then on; or a callable without arguments that returns either a client or what `async with` opens,
            called when the application has started.
        bucket: that the check asks for.
        name: of the check; two buckets need two.
        critical: whether the check's failure takes the instance out of traffic.
        probes: where the check counts.
        timeout: seconds until the check has failed; by default `health.timeout`.
        options: of the client that the check makes itself of a session, as `session.client("s3", …)` takes them.

    Raises:
        ImportError: botocore is not installed.
        TypeError: it is none of these.
    """
    require("s3", "botocore", "belvedere[s3]")
    return S3(client, bucket, name, dict(options or {}), {"critical": critical, "probes": probes, "timeout": timeout})


class S3:
    """What `s3` returns."""

    def __init__(
        self, client: Any, bucket: str, name: str, options: dict[str, Any], check_options: dict[str, Any]
    ) -> None:
        from belvedere.integrations._s3.asking import Asking
        from belvedere.integrations._s3.clients import Clients

        if type(bucket) is not str or not bucket:
            raise TypeError(f"integrations.s3: bucket is the name of one, not {bucket!r}")
        self.feature = name
        self._bucket = bucket
        self._clients = Clients(client, options)
        self._asking = Asking(self._clients, bucket)
        message = f"{name[:1].upper()}{name[1:]} connection failed"
        self._check = Check(name, self._asking.call, message=message, **check_options)
        self._calls: Calls | None = None

    @property
    def client(self) -> Any:
        """The client; of a callable, once the application has started; of a session, that of the check."""
        return self._clients.client

    @property
    def why(self) -> str:
        """What the report says."""
        return f"bucket {self._bucket}, by {self._clients.kind}"

    def install(self, host: Host) -> None:
        """Check and time from now on."""
        from belvedere.integrations._s3.calls import Calls

        if self._calls is not None:
            raise ValueError("this part is installed already: make one for each application")
        calls = Calls(host)
        # What may be refused comes first: then there is nothing to take back.
        host.check(self._check)
        health = host.settings.health
        self._asking.timeout = self._check.timeout or (health.timeout if health is not None else None)
        self._calls = calls
        self._clients.watch(calls)
        host.on_start(self._clients.open)
        host.on_stop(self._clients.close)

    def uninstall(self) -> None:
        """Leave the clients as they were."""
        if self._calls is not None:
            self._calls.end()
        self._clients.forget()
        self._asking.forget()
        self._calls = None
