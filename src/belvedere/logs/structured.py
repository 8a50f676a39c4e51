"""structlog's side: its loggers, with levels by name that can change at run time, and with nothing that raises."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping, MutableMapping
from types import FrameType
from typing import Any, Final

import structlog
from structlog import BoundLoggerBase, DropEvent

from belvedere import failures
from belvedere.logs import output
from belvedere.logs.levels import LEVELS, NAMES
from belvedere.logs.output import Output
from belvedere.logs.serialise import as_text

_OWN_MODULES: Final = ("structlog.", __name__)


class Target:
    """What structlog calls a wrapped logger: a name, and where text goes that somebody's own processors rendered."""

    def __init__(self, name: str) -> None:
        self.name = name

    def msg(self, text: object = "", /, **fields: Any) -> None:
        if output.active is not None:
            output.active.emit(20, "info", self.name, text, fields)

    debug = info = warning = warn = error = critical = fatal = exception = log = msg


def target(*args: Any) -> Target:
    """Make the wrapped logger of `structlog.get_logger(name)`; without a name it is the calling module's."""
    return Target(str(args[0]) if args and args[0] is not None else _calling_module())


def write(logger: Any, method: str, event: MutableMapping[str, Any]) -> Any:
    """The only processor of our configuration: it writes the line, and nothing is left to do.

    `structlog.testing.capture_logs` puts its own in its place.
    """
    text = event.pop("event", None)
    level = LEVELS.get(method, 20)
    name = str(getattr(logger, "name", ""))
    if output.active is not None and level >= output.active.pipeline.levels.threshold(name):
        _emit(output.active, level, name, text, bound={}, fields=event)
    raise DropEvent


PROCESSORS: Final[list[Any]] = [write]


class BoundLogger(BoundLoggerBase):
    """structlog's logger, with every method of its filtering one; levels are looked up at each call."""

    def debug(self, event: object = None, /, *args: object, **fields: Any) -> None:
        self._log(10, event, args, fields)

    def info(self, event: object = None, /, *args: object, **fields: Any) -> None:
        self._log(20, event, args, fields)

    def warning(self, event: object = None, /, *args: object, **fields: Any) -> None:
        self._log(30, event, args, fields)

    def error(self, event: object = None, /, *args: object, **fields: Any) -> None:
        self._log(40, event, args, fields)

    def critical(self, event: object = None, /, *args: object, **fields: Any) -> None:
        self._log(50, event, args, fields)

    def exception(self, event: object = None, /, *args: object, **fields: Any) -> None:
        fields.setdefault("exc_info", True)
        self._log(40, event, args, fields)

    def log(self, level: int, event: object = None, /, *args: object, **fields: Any) -> None:
        self._log(level, event, args, fields)

    msg = info
    warn = warning
    fatal = critical

    # Nothing here waits, so there is nothing to hand to a thread.
    async def adebug(self, event: object = None, /, *args: object, **fields: Any) -> None:
        self._log(10, event, args, fields)

    async def ainfo(self, event: object = None, /, *args: object, **fields: Any) -> None:
        self._log(20, event, args, fields)

    async def awarning(self, event: object = None, /, *args: object, **fields: Any) -> None:
        self._log(30, event, args, fields)

    async def aerror(self, event: object = None, /, *args: object, **fields: Any) -> None:
        self._log(40, event, args, fields)

    async def acritical(self, event: object = None, /, *args: object, **fields: Any) -> None:
        self._log(50, event, args, fields)

    async def aexception(self, event: object = None, /, *args: object, **fields: Any) -> None:
        fields.setdefault("exc_info", True)
        self._log(40, event, args, fields)

    async def alog(self, level: int, event: object = None, /, *args: object, **fields: Any) -> None:
        self._log(level, event, args, fields)

    amsg = ainfo
    awarn = awarning
    afatal = acritical

    @property
    def name(self) -> str:
        # Somebody may have wrapped a logger of another kind.
        return str(getattr(self._logger, "name", ""))

    def is_enabled_for(self, level: int) -> bool:
        """Whether a line of that level would be written now."""
        return level >= self.get_effective_level()

    def get_effective_level(self) -> int:
        """Return the least level that is written now."""
        return 0 if output.active is None else output.active.pipeline.levels.threshold(self.name)

    isEnabledFor = is_enabled_for  # noqa: N815 - the standard library's name
    getEffectiveLevel = get_effective_level  # noqa: N815 - the standard library's name

    def _log(self, level: int, event: object, args: tuple[object, ...], fields: dict[str, Any]) -> None:
        active = output.active
        name = self.name
        if active is None:
            # Not observed, not yet or no more: whatever structlog itself is configured to.
            logger = structlog.get_logger(name, **self._context)
            getattr(logger, _named(level))(*((event,) if not args else (event, *args)), **fields)
        elif level >= active.pipeline.levels.threshold(name):
            if args:
                event = _interpolated(event, args)
            if self._processors is PROCESSORS and PROCESSORS[0] is write:
                _emit(active, level, name, event, bound=self._context, fields=fields)
            else:
                try:
                    self._proxy_to_logger(_named(level), event, **fields)  # type: ignore[arg-type]  # events may be anything
                except Exception as error:  # somebody's processor must not break who logs
                    failures.contain("logs", error)


def get_logger(name: str | None = None) -> BoundLogger:
    """Return a structlog logger of that name, by default the calling module's; it may be made before `observe`."""
    return BoundLogger(Target(name if name is not None else _calling_module()), PROCESSORS, {})


def _emit(
    active: Output, level: int, name: str, event: object, *, bound: Mapping[str, Any], fields: MutableMapping[str, Any]
) -> None:
    error = _error(fields.pop("exc_info", None))
    stack = _stack() if fields.pop("stack_info", False) else None
    active.emit(level, _named(level), name, event, fields, bound=bound, error=error, stack=stack)


def _named(level: int) -> str:
    return NAMES.get(level) or NAMES[max(10, min(50, int(level) // 10 * 10))]


def _interpolated(event: object, args: tuple[object, ...]) -> object:
    try:
        return as_text(event) % (args[0] if len(args) == 1 and isinstance(args[0], Mapping) and args[0] else args)
    except Exception:  # arguments that do not fit are shown beside the text
        return f"{as_text(event)} {' '.join(as_text(arg) for arg in args)}"


def _error(exc_info: object) -> BaseException | None:
    """Return the exception that `exc_info` names in any of the ways structlog and the standard library know."""
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple) and len(exc_info) == 3:
        return exc_info[1] if isinstance(exc_info[1], BaseException) else None
    return sys.exc_info()[1] if exc_info else None


def _stack() -> str:
    return "Stack (most recent call last):\n" + "".join(traceback.format_stack(_caller())).rstrip("\n")


def _calling_module() -> str:
    return str(_caller().f_globals.get("__name__", ""))


def _caller() -> FrameType:
    """Return the frame that logs: the nearest one which is neither structlog's nor ours."""
    frame = sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).startswith(_OWN_MODULES):
        frame = frame.f_back
    return frame
