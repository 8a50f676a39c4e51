"""The rows of the table: what of Belvedere the service has, and what else it is given."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One service of four workers."""

    name: str
    title: str
    kept: str
    """What `served` leaves of Belvedere: `nothing`, `observe` without its parts for this service, `everything`."""
    redis: bool = False
    """Whether its limits are counted in Redis."""

    @property
    def logs(self) -> bool:
        """Whether each request writes a line."""
        return self.kept != "nothing"


BARE = Row("without", "without Belvedere", "nothing")
CONTROL = Row("control", "without, measured again (the noise)", "nothing")
DEFAULT = Row("default", "Belvedere: ids, logs, metrics, headers, probes", "observe")
EVERYTHING = Row("everything", "+ interactions, and limits in the process", "everything")
WITH_REDIS = Row("redis", "+ interactions, and limits in Redis", "everything", redis=True)

ROWS = (BARE, CONTROL, DEFAULT, EVERYTHING, WITH_REDIS)
