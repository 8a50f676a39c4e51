"""Where a table was measured: it means nothing without."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine and the versions that decide the figures."""

    cpu: str
    cores: int
    system: str
    python: str
    packages: dict[str, str]
    load: float

    def lines(self) -> list[str]:
        """The head of the table."""
        versions = ", ".join(f"{name} {version}" for name, version in self.packages.items())
        return [
            f"{self.cpu}, {self.cores} cores, {self.system}, Python {self.python}; load at the start {self.load:.1f}",
            versions,
        ]

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return asdict(self)


def this_machine() -> Machine:
    """Look at the machine this runs on."""
    return Machine(
        cpu=_cpu(),
        cores=len(available_cpus()),
        system=platform.system(),
        python=platform.python_version(),
        packages={name: _version(name) for name in ("belvedere", "fastapi", "starlette", "uvicorn", "uvloop")},
        load=os.getloadavg()[0],
    )


def available_cpus() -> list[int]:
    """The processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
