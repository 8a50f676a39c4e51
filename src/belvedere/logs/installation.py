"""Logging as the process has it: one for all observed applications, from the first to the last."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from belvedere import conventions
from belvedere.logs import output
from belvedere.logs.access import AccessLine
from belvedere.logs.bridge import Handler
from belvedere.logs.file import LogFile
from belvedere.logs.hooks import Hooks
from belvedere.logs.levelfile import LevelFile
from belvedere.logs.levels import LEVELS
from belvedere.logs.output import Output
from belvedere.logs.pipeline import Format, Pipeline
from belvedere.logs.stderr import StandIn
from belvedere.logs.stdout import Stdout
from belvedere.logs.structured import PROCESSORS, BoundLogger, target
from belvedere.logs.takeover import Takeover
from belvedere.logs.writer import Writer
from belvedere.settings import LogSettings, Settings

_PRODUCTION = frozenset({"prod", "production"})


class Logs:
    """The logs of one application.

    `install` and `remove` are counted over the applications of the process: the settings of the first one hold for
    all, as lines outside requests belong to none of them. `shared` says that another's settings are in force.

    Args:
        settings: resolved, with `logs`.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._logs = settings.logs or LogSettings()
        self.format, self.format_reason = decide_format(settings)
        self.access = AccessLine(self._logs.client) if self._logs.access else None

    @property
    def shared(self) -> bool:
        """Whether the process logs after the settings of another application, which differ from these."""
        return _process is not None and self in _process.users and _differ(_process.settings, self.settings)

    @property
    def dropped(self) -> int:
        """Lines of this process that stdout did not get, of all that were logged by now."""
        if _process is None:
            return 0
        _process.output.writer.flush()  # what waits for its turn of the loop may be dropped as well
        return _process.output.writer.dropped

    def install(self) -> None:
        """Have the process log through the pipeline."""
        global _process
        if _process is None:
            _process = _Process(self.settings, self.format)
        if self not in _process.users:
            _process.users.append(self)
            _process.take()
        if self.access is not None:
            self.access.use(_process.output)

    def remove(self) -> None:
        """Take this application's share away; with the last one, logging is as it was before the first."""
        global _process
        if self.access is not None:
            self.access.use(None)
        if _process is None or self not in _process.users:
            return
        self.unwatch()
        _process.users.remove(self)
        if _process.users:
            _process.take()
        else:
            process, _process = _process, None
            process.give_back()

    def reassert(self) -> None:
        """Take over again what a `dictConfig` or a server has changed since."""
        if _process is not None and self in _process.users:
            _process.take()

    def set_level(self, level: str, quiet: Mapping[str, str] | None = None) -> None:
        """Change the least level from now on, and those of single loggers unless `quiet` is `None`.

        Raises:
            ValueError: there is no such level.
        """
        if _process is not None:
            _process.set_levels(level, quiet)

    @property
    def level(self) -> str:
        """The least level in force."""
        return self._logs.level if _process is None else _process.output.pipeline.levels.level

    @property
    def level_file(self) -> LevelFile | None:
        """The file by which levels change at run time, while these logs are installed."""
        return None if _process is None or self not in _process.users else _process.level_file

    def watch(self) -> None:
        """From now on, look at the level file in the running loop."""
        if _process is not None and self in _process.users and _process.level_file is not None:
            _process.watching.add(self)
            _process.level_file.start()

    def unwatch(self) -> None:
        """Look at it no more, unless another application goes on."""
        if _process is not None and _process.level_file is not None and self in _process.watching:
            _process.watching.discard(self)
            if not _process.watching:
                _process.level_file.stop()

    @staticmethod
    def tell(tap: Callable[[dict[str, Any]], None]) -> Callable[[], None]:
        """Have `tap` told of every line of the process, as it is about to be written; return what ends that."""
        Pipeline.taps.append(tap)
        return lambda: Pipeline.taps.remove(tap)

    def flush(self) -> None:
        """Write everything out, waiting a moment for a reader who is slow."""
        if _process is not None:
            _process.output.writer.flush(wait=1.0)


class _Process:
    """What is changed in this process, and what it was before."""

    def __init__(self, settings: Settings, format: Format) -> None:
        logs = settings.logs or LogSettings()
        self.settings = settings
        self.users: list[Logs] = []
        self.watching: set[Logs] = set()
        stdout = Stdout(block=logs.on_full == "block")
        writer = Writer(stdout, None if logs.path is None else LogFile(logs.path))
        self.output = Output(Pipeline(settings, format, colors=colors_wanted()), writer)
        self.level_file = None if logs.levels is None else self._level_file(logs.levels, logs)
        self.takeover = Takeover(Handler(), self.take)
        self.hooks = Hooks()
        self.stderr = StandIn()
        self._structlog: dict[str, Any] | None = structlog.get_config() if structlog.is_configured() else None
        output.active = self.output
        structlog.configure(
            processors=PROCESSORS,
            wrapper_class=BoundLogger,
            context_class=dict,
            logger_factory=target,
            cache_logger_on_first_use=False,
        )
        atexit.register(writer.flush, 1.0)

    def take(self) -> None:
        levels = self.output.pipeline.levels
        access = any(user.access is not None for user in self.users)
        self.takeover.take(levels.level, levels.quiet, silence_access=access)
        self.hooks.take()
        self.stderr.take()

    def set_levels(self, level: str, quiet: Mapping[str, str] | None) -> None:
        levels = self.output.pipeline.levels
        levels.set(level, quiet)
        self.takeover.set_levels(levels.level, levels.quiet)

    def _level_file(self, path: str, logs: LogSettings) -> LevelFile:
        file = LevelFile(path, logs.level, logs.quiet, apply=self.output.pipeline.levels.set, refuse=self._refuse)
        # What it says at the start is in force from the first line on; there is nothing yet that changes.
        file.look(tell=False)
        file.apply = self._change
        return file

    def _change(self, level: str, quiet: Mapping[str, str]) -> None:
        """Change levels as the level file says, and tell, whatever the level is then."""
        levels = self.output.pipeline.levels
        before = levels.level, levels.quiet
        if before == (level, quiet):
            return
        self.set_levels(level, quiet)
        self._tell("info", conventions.Event.LEVEL_CHANGED, {"from": before[0], "to": level, "quiet": quiet})

    def _refuse(self, reason: str) -> None:
        remedy = "put it right or remove it; until then the levels stay as they are"
        self._tell("warning", conventions.Event.LEVELS_REFUSED, {"reason": reason, "remedy": remedy})

    def _tell(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        own = {"path": self.level_file.path if self.level_file else None, "pid": os.getpid()}
        self.output.emit(LEVELS[level], level, conventions.OWN_LOGGER, event, {**fields, **own}, now=True)

    def give_back(self) -> None:
        if self.level_file is not None:
            self.level_file.stop()
        self.stderr.give_back()
        self.hooks.give_back()
        self.takeover.give_back()
        # Somebody's configuration that came after ours stays.
        if structlog.get_config()["processors"] is PROCESSORS:
            if self._structlog is None:
                structlog.reset_defaults()
            else:
                structlog.configure(**self._structlog)
        if output.active is self.output:
            output.active = None
        atexit.unregister(self.output.writer.flush)
        self.output.writer.close()


_process: _Process | None = None


def decide_format(settings: Settings) -> tuple[Format, str]:
    """Return the format of lines, and why it is that one."""
    logs = settings.logs or LogSettings()
    if logs.format != "auto":
        return logs.format, "set"
    if not _is_terminal():
        return "json", "stdout is no terminal"
    if settings.environment in _PRODUCTION:
        return "json", f"the environment is {settings.environment}"
    return "console", "stdout is a terminal"


def colors_wanted() -> bool:
    """Whether lines may be coloured: on a terminal, unless `NO_COLOR` says otherwise (https://no-color.org)."""
    return _is_terminal() and not os.environ.get("NO_COLOR")


def _is_terminal() -> bool:
    try:
        return bool(sys.stdout.isatty())
    except Exception:  # a replacement may be anything, `None` included
        return False


def _differ(first: Settings, second: Settings) -> bool:
    return first.logs != second.logs or (first.service, first.environment) != (second.service, second.environment)
