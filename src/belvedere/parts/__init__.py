"""The one door by which checks, objectives, integrations and other people's extensions enter."""

from belvedere.parts.check import Check, CheckResult, Probe
from belvedere.parts.objective import SLO
from belvedere.parts.protocols import Closer, Host, Observer, Part

__all__ = ["SLO", "Check", "CheckResult", "Closer", "Host", "Observer", "Part", "Probe"]
