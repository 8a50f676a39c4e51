"""What a request executes, counted: bytecode instructions and calls into C. The same on every machine, unlike time.

`python -m benchmarks.counting BUILD PROFILED DESCRIPTOR` answers with one line of JSON: means of a request, by function
too; and of as many more requests as `PROFILED` says, the time of each function.
"""

from __future__ import annotations

import asyncio
import cProfile
import gc
import json
import os
import pstats
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.children import Child
from benchmarks.inprocess import LOADED
from benchmarks.variants import ASGIApp, application
from benchmarks.worker import drive, started_application

COUNTED = 6 * LOADED
CHUNKS = 8


class Instructions:
    """Counts what this thread executes between `start` and `stop`."""

    def __init__(self) -> None:
        self.by_function: Counter[str] = Counter()
        self.c_calls: Counter[str] = Counter()

    def start(self) -> None:
        """Count in every frame that is entered or resumed from here on."""
        sys._getframe().f_trace_opcodes = True  # Python 3.12 looks here, once, whether anybody wants opcodes at all
        sys.settrace(self._trace)
        sys.setprofile(self._profile)

    def stop(self) -> None:
        """Stop counting."""
        sys.setprofile(None)
        sys.settrace(None)

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "call":
            frame.f_trace_opcodes = True
            frame.f_trace_lines = False
        elif event == "opcode":
            code = frame.f_code
            self.by_function[label(code.co_filename, code.co_name)] += 1
        return self._trace

    def _profile(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call":
            self.c_calls[getattr(argument, "__name__", "?")] += 1


def label(filename: str, name: str) -> str:
    """A function's name with the file it is in, from the package's directory on."""
    if filename == "~":
        return name
    parts = Path(filename).parts
    for root in ("site-packages", "src"):
        if root in parts:
            parts = parts[parts.index(root) + 1 :]
            break
    else:
        parts = parts[-1:]
    return f"{'/'.join(parts)}:{name}"


async def count(app: ASGIApp, profiled: int) -> dict[str, Any]:
    """Count a few requests, then time more of them by function."""
    task, stop = await started_application(app)
    counter = Instructions()
    counter.start()
    await drive(app, COUNTED, LOADED)
    counter.stop()
    gc.collect()
    gc.disable()
    await drive(app, COUNTED, LOADED)
    garbage = gc.collect()
    gc.enable()
    own = await _least_own(app, profiled // CHUNKS) if profiled else {}
    stop.set()
    await asyncio.wait_for(task, 5)
    return {
        "instructions": counter.by_function.total() / COUNTED,
        "c_calls": counter.c_calls.total() / COUNTED,
        "by_function": {name: number / COUNTED for name, number in counter.by_function.items()},
        "by_c_call": {name: number / COUNTED for name, number in counter.c_calls.items()},
        "garbage": garbage / COUNTED,
        "own_us": own,
    }


async def _least_own(app: ASGIApp, requests: int) -> dict[str, tuple[float, float]]:
    """By function, the least of several profiles: a neighbour's load falls on some of them."""
    least: dict[str, tuple[float, float]] = {}
    for _ in range(CHUNKS):
        profile = cProfile.Profile()
        profile.enable()
        await drive(app, requests, LOADED)
        profile.disable()
        for name, (calls, own) in _own(profile, requests).items():
            least[name] = (calls, min(own, least.get(name, (calls, own))[1]))
    return least


def _own(profile: cProfile.Profile, profiled: int) -> dict[str, tuple[float, float]]:
    """By function: calls and own microseconds per request, inflated by the profiler itself."""
    own: dict[str, tuple[float, float]] = {}
    stats: dict[tuple[str, int, str], tuple[int, int, float, float, Any]] = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    for (filename, _, name), (_, calls, seconds, _, _) in stats.items():
        key = label(filename, name)
        before = own.get(key, (0.0, 0.0))
        own[key] = (before[0] + calls / profiled, before[1] + seconds / profiled * 1e6)
    return own


def counted(build: str, profiled: int = 0) -> dict[str, Any]:
    """Count a row in a process of its own, and profile so many requests more."""
    with Child("benchmarks.counting", build, str(profiled)) as child:
        return child.answer()


if __name__ == "__main__":
    answer = asyncio.run(count(application(sys.argv[1]), int(sys.argv[2])))
    os.write(int(sys.argv[3]), json.dumps(answer).encode() + b"\n")
