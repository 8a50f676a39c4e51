"""Levels that operators change while the service runs: by a small file, which every worker reads once a second.

A file, and neither a signal nor an endpoint: it reaches all workers and replicas that see it, is still in force after
a restart, is written by whatever writes configuration (a ConfigMap, Ansible, an editor), and nobody has to be let in.
It is read rather than watched: a few microseconds a second, and a ConfigMap's swapped symbolic links, file systems
without notifications and changes within one tick of a clock are all seen.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from belvedere import failures
from belvedere.logs.levels import LEVELS

EVERY: Final = 1.0
"""Seconds between two looks."""
LARGEST: Final = 65_536
"""Bytes that such a file has at most."""

_EXAMPLE: Final = '{"level": "debug", "quiet": {"sqlalchemy.engine": "warning"}}'


class LevelFile:
    """Has `apply` called with the levels of the file at `path` whenever they have changed.

    Without a file, and with an empty one, the settings' own hold. One that cannot be used changes nothing, and
    `refuse` is called with the reason once for each state of it.

    Args:
        level: the settings' least level, for a file that has none.
        quiet: the settings' levels of single loggers, to which those of the file are added.
    """

    def __init__(
        self,
        path: str,
        level: str,
        quiet: Mapping[str, str],
        *,
        apply: Callable[[str, Mapping[str, str]], None],
        refuse: Callable[[str], None],
    ) -> None:
        self.path = path
        self.problem: str | None = None
        """Why the file as it is now is not used."""
        self._level = level
        self._quiet = dict(quiet)
        self.apply = apply
        self._refuse = refuse
        self._seen: bytes | str | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._next: asyncio.TimerHandle | None = None

    @property
    def watched(self) -> bool:
        """Whether a loop looks at it every second."""
        return self._loop is not None and not self._loop.is_closed()

    def start(self) -> None:
        """Look now, and from now on every second of the running loop."""
        if not self.watched:
            self._loop = asyncio.get_running_loop()
            self._look_again()

    def stop(self) -> None:
        """Look no more."""
        if self._next is not None:
            self._next.cancel()
        self._next = self._loop = None

    def look(self, *, tell: bool = True) -> None:
        """Read the file, and apply what is new in it.

        Args:
            tell: whether somebody may be told of a bad file by now; else it is the next look that tells.
        """
        try:
            found: bytes | str = _read(self.path)
        except OSError as error:
            found = error.strerror or type(error).__name__
        if found == self._seen:
            return
        try:
            level, quiet = levels(found)
        except ValueError as error:
            self.problem = str(error)
            self._seen = found if tell else None
            if tell:
                self._refuse(self.problem)
            return
        self._seen = found
        self.problem = None
        self.apply(level or self._level, {**self._quiet, **quiet})

    def _look_again(self) -> None:
        try:
            self.look()
        except Exception as error:  # whatever it is, the next look comes
            failures.contain("logs", error)
        if self._loop is not None:
            self._next = self._loop.call_later(EVERY, self._look_again)


def levels(content: bytes | str) -> tuple[str | None, dict[str, str]]:
    """Return the least level, if there is one, and those of single loggers; a text is why there is no content.

    Raises:
        ValueError: they are not what such a file holds, in words for whoever wrote it.
    """
    if isinstance(content, str):
        raise ValueError(f"it cannot be read: {content}")
    if len(content) > LARGEST:
        raise ValueError(f"it has more than {LARGEST} bytes")
    if not content.strip():
        return None, {}
    try:
        found = orjson.loads(content)
    except ValueError as error:
        raise ValueError(f"it is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"it is no object; write {_EXAMPLE}")
    if unknown := found.keys() - {"level", "quiet"}:
        raise ValueError(f"there is no {', '.join(map(repr, sorted(unknown)))}; write {_EXAMPLE}")
    quiet = found.get("quiet") or {}
    if not isinstance(quiet, dict):
        raise ValueError(f"quiet is no object of loggers and levels; write {_EXAMPLE}")
    level = found.get("level")
    return (None if level is None else _level("level", level)), {
        name: _level(f"quiet, {name}", own) for name, own in quiet.items()
    }


def _level(where: str, value: Any) -> str:
    if not isinstance(value, str) or value.lower() not in LEVELS:
        raise ValueError(f"{where}: {value!r} is no level; there are {', '.join(LEVELS)}")
    return value.lower()


def _read(path: str) -> bytes:
    """Return what is in a regular file, nothing where there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return b""
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(None, "it is no regular file")
        return os.read(descriptor, LARGEST + 1)
    finally:
        os.close(descriptor)
