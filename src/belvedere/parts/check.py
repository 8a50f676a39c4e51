"""A health check: what to ask, how long to wait, what its failure means."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, Protocol

Probe = Literal["ready", "detailed", "startup"]
CheckResult = Mapping[str, Any] | bool | None
"""What a check returns: details for the full payload, `False` for a failure, anything else for success."""

_PROBES = frozenset({"ready", "detailed", "startup"})


class TakesChecks(Protocol):
    """What a check needs of its host."""

    def check(self, check: Check) -> None: ...


class Check:
    """A part that asks whether something the service needs is there.

    Args:
        name: as probes, metrics and logs show it.
        call: an async or sync callable without arguments; raising or returning `False` is a failure, a mapping is
            details for the full payload. A sync one runs in a thread of Belvedere's own.
        critical: whether its failure takes the instance out of traffic.
        timeout: seconds until it counts as failed; by default `health.timeout`.
        probes: where it counts: `ready`, `detailed`, `startup`.
        message: what the compact readiness answer says when it fails; by default "<Name> check failed".

    Raises:
        TypeError, ValueError: saying which argument is wrong and what it should be.
    """

    def __init__(
        self,
        name: str,
        call: Callable[[], Any],
        *,
        critical: bool = True,
        timeout: float | None = None,
        probes: Iterable[Probe] = ("ready", "detailed"),
        message: str | None = None,
    ) -> None:
        if not name or type(name) is not str:
            raise ValueError("a check needs a name, such as Check('database', ping)")
        if not callable(call):
            raise TypeError(f"check {name!r}: {call!r} cannot be called; give the function itself, sync or async")
        self.name = name
        self.call = call
        self.critical = critical
        self.timeout = timeout
        self.probes: tuple[str, ...] = (probes,) if isinstance(probes, str) else tuple(probes)
        self.message = message or f"{name[:1].upper()}{name[1:]} check failed"
        if unknown := [probe for probe in self.probes if probe not in _PROBES]:
            raise ValueError(
                f"check {name!r}: no probe is called {unknown[0]!r}; there are ready, detailed and startup"
            )
        if timeout is not None and not timeout > 0:
            raise ValueError(f"check {name!r}: a time-out is a number of seconds above 0, not {timeout!r}")

    def install(self, host: TakesChecks) -> None:
        """Have the host run the check for its probes."""
        host.check(self)

    def uninstall(self) -> None:
        """Nothing is left to do: the host forgets its checks by itself."""
