"""Several parts on one object of a library: what goes through it is counted once for each application, traced once.

Two checks of one client, under two names, are two parts; so are those of two applications of a process that share it.
"""

from __future__ import annotations

from belvedere.parts import Host

_watches: dict[int, list[Watch]] = {}


class Watch:
    """One part's watch over an object.

    Args:
        target: what is watched; kept as long as somebody watches it.
        host: of the application that the part belongs to.
    """

    def __init__(self, target: object, host: Host) -> None:
        self.target = target
        self.host = host
        self.can_trace = host.tracer_provider() is not None
        self.counts = False
        """Whether it is this part that counts for its application: the first one there."""
        self.traces = False
        """Whether it is this part that makes spans, for all applications: the first one that has tracing."""
        self.active = False
        """Whether it does either."""

    def begin(self) -> None:
        """Join those that watch the object."""
        watches = _watches.setdefault(id(self.target), [])
        watches.append(self)
        _share_out(watches)

    def end(self) -> None:
        """Leave them; another part may take over."""
        others = _watches.get(id(self.target), [])
        if self in others:
            others.remove(self)
            self.counts = self.traces = self.active = False
            _share_out(others)
            if not others:
                del _watches[id(self.target)]


def _share_out(watches: list[Watch]) -> None:
    served: set[int] = set()
    traced = False
    for watch in watches:
        watch.counts = id(watch.host) not in served
        watch.traces = watch.can_trace and not traced
        watch.active = watch.counts or watch.traces
        served.add(id(watch.host))
        traced = traced or watch.can_trace
