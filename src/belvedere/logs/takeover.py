"""What is changed about the standard library's loggers, and how all of it is given back."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from belvedere import conventions, failures
from belvedere.logs.bridge import RECORD_KEYS, Handler
from belvedere.logs.consoles import is_console, leads_to_console
from belvedere.logs.levels import LEVELS
from belvedere.logs.relays import Relays
from belvedere.logs.servers import ACCESS_LOGGERS, SERVER_LOGGERS, is_server

Attribute = tuple[logging.Logger, str]


class Takeover:
    """Puts `handler` on the root logger, and takes console handlers off all loggers and from behind other handlers.

    Whatever else listens (files, pytest's, Sentry's) stays. `take` may be called again at any time: it takes over
    what others have changed since, and remembers that as what is to be given back.

    Args:
        take_again: called when a line is about to be written that would miss us, as somebody has configured logging
            since: hypercorn does so with its first line, `uvicorn.run(app)` before the application starts, gunicorn's
            worker after a fork, an application or Alembic in the lifespan.
    """

    def __init__(self, handler: Handler, take_again: Callable[[], None]) -> None:
        self.handler = handler
        self._take_again = take_again
        self._removed: dict[logging.Logger, list[tuple[int, logging.Handler]]] = {}
        self._before: dict[Attribute, Any] = {}
        self._ours: dict[Attribute, Any] = {}
        self._make_record: tuple[Callable[..., Any], Callable[..., Any]] | None = None
        self._since: dict[logging.Logger, float] = {}
        self._relays = Relays(handler, self._came, take_again)
        self._last_resort: tuple[logging.Handler, Handler] | None = None

    def take(self, level: str, quiet: Mapping[str, str], *, silence_access: bool) -> None:
        root = logging.getLogger()
        self.handler.silences_access = silence_access
        self._relays.look()
        if self.handler not in root.handlers:
            # Somebody has configured anew: what was there before is nobody's any more.
            self._removed.pop(root, None)
        self._take_console_handlers(root)
        self._attach(root)
        for logger in _existing(SERVER_LOGGERS):
            self._take_console_handlers(logger)
            self._set(logger, "propagate", not (silence_access and logger.name in ACCESS_LOGGERS))
        for logger in _made():
            if not is_server(logger.name):
                self._take_the_place_of_consoles(logger)
        for logger in _existing([*SERVER_LOGGERS, conventions.OWN_LOGGER, conventions.ACCESS_LOGGER]):
            # `dictConfig` and `fileConfig` (Alembic's) disable, by default, every logger that they do not name.
            self._set(logger, "disabled", False)
        self.set_levels(level, quiet)
        if self._make_record is None:
            before = logging.Logger.makeRecord
            self._make_record = (before, _tolerant(before, self._about_to_write))
            logging.Logger.makeRecord = self._make_record[1]  # type: ignore[method-assign]
        if self._last_resort is None and logging.lastResort is not None:
            # It prints to stderr what comes from a logger that has no handler, and none above it.
            last = Handler()
            last.setLevel(logging.lastResort.level)
            self._last_resort = (logging.lastResort, last)
            logging.lastResort = last
        if self._last_resort is not None:
            self._last_resort[1].silences_access = silence_access

    def set_levels(self, level: str, quiet: Mapping[str, str]) -> None:
        """Have loggers let through what the pipeline wants, and no less than others on the root logger were given."""
        root = logging.getLogger()
        for logger, attribute in list(self._ours):
            if attribute == "level" and logger is not root and logger.name not in quiet:
                self._give(logger, attribute)
        least = LEVELS[level]
        if any(handler is not self.handler for handler in root.handlers):
            least = min(least, self._before.get((root, "level"), root.level) or least)
        self._set(root, "level", least)
        for name, own in quiet.items():
            self._set(logging.getLogger(name), "level", LEVELS[own])

    def give_back(self) -> None:
        """Leave handlers, levels and propagation as they would be without us."""
        for logger in list(self._since):
            logger.removeHandler(self.handler)
        self._since.clear()
        self._relays.give_back()
        for logger, removed in self._removed.items():
            for place, handler in removed:
                if handler not in logger.handlers:
                    logger.handlers.insert(place, handler)
        self._removed.clear()
        for logger, attribute in list(self._ours):
            self._give(logger, attribute)
        if self._make_record is not None and logging.Logger.makeRecord is self._make_record[1]:
            logging.Logger.makeRecord = self._make_record[0]  # type: ignore[method-assign]
        self._make_record = None
        if self._last_resort is not None and logging.lastResort is self._last_resort[1]:
            logging.lastResort = self._last_resort[0]
        self._last_resort = None

    def _about_to_write(self, logger: logging.Logger) -> None:
        try:
            # Somebody who has wrapped makeRecord may call ours when all is given back.
            if self._make_record is not None and self._lost(logger):
                self._take_again()
        except Exception as error:  # loggers and handlers may be somebody's own; whoever logs must not pay for it
            failures.contain("logs", error)

    def _came(self, record: logging.LogRecord) -> bool:
        """Whether a record came to us when it was logged, in this process and with our handler in its way."""
        if record.process is not None and record.process != os.getpid():
            return False
        made = logging.Logger.manager.loggerDict.get(record.name)
        logger = made if isinstance(made, logging.Logger) else logging.getLogger()
        while self.handler not in logger.handlers:
            if not logger.propagate or logger.parent is None:
                return False
            logger = logger.parent
        return record.created >= self._since.get(logger, math.inf)

    def _lost(self, logger: logging.Logger) -> bool:
        """Whether lines of that logger go to a console, or, a server's, do not come to us."""
        first = logger
        while logger.parent is not None:
            for handler in logger.handlers:
                if handler is not self.handler and leads_to_console(handler):
                    return True
            if not logger.propagate:
                ours = self._ours.get((logger, "propagate"), True) is False
                return not ours and is_server(first.name)
            logger = logger.parent
        return self.handler not in logger.handlers

    def _take_the_place_of_consoles(self, logger: logging.Logger) -> None:
        """Have what an application's own logger wrote to a console come to us, once."""
        if self._take_console_handlers(logger) or logger in self._removed:
            if not self._above(logger):
                self._attach(logger)
            elif self._since.pop(logger, None) is not None:
                logger.removeHandler(self.handler)

    def _attach(self, logger: logging.Logger) -> None:
        if self.handler not in logger.handlers:
            logger.addHandler(self.handler)
            self._since[logger] = time.time()

    def _above(self, logger: logging.Logger) -> bool:
        """Whether a logger's lines come to us by those above it."""
        while logger.propagate and logger.parent is not None:
            logger = logger.parent
            if self.handler in logger.handlers:
                return True
        return False

    def _take_console_handlers(self, logger: logging.Logger) -> bool:
        """Take off those of a logger, and have relays stand in for those behind its handlers; return whether any do."""
        found = [(place, handler) for place, handler in enumerate(logger.handlers) if is_console(handler)]
        if found:
            # Where a logger has been configured again, its old handlers are nobody's any more either.
            kept = self._removed.get(logger, []) if self.handler in logger.handlers or logger.parent is None else []
            self._removed[logger] = [*kept, *found]
            for _, handler in found:
                logger.removeHandler(handler)
        return self._relays.place(logger.handlers)

    def _set(self, logger: logging.Logger, attribute: str, value: Any) -> None:
        place = (logger, attribute)
        now = getattr(logger, attribute)
        if place not in self._ours or now != self._ours[place]:
            self._before[place] = now
        self._ours[place] = value
        if now != value:
            _assign(logger, attribute, value)

    def _give(self, logger: logging.Logger, attribute: str) -> None:
        ours, before = self._ours.pop((logger, attribute)), self._before.pop((logger, attribute))
        # What somebody else has changed since is theirs.
        if getattr(logger, attribute) == ours != before:
            _assign(logger, attribute, before)


def _assign(logger: logging.Logger, attribute: str, value: Any) -> None:
    if attribute == "level":
        logger.setLevel(value)  # which also empties the loggers' caches
    else:
        setattr(logger, attribute, value)


def _existing(names: Iterable[str]) -> Iterator[logging.Logger]:
    """Yield those loggers that somebody has made: asking for one would make it."""
    for name in names:
        logger = logging.Logger.manager.loggerDict.get(name)
        if isinstance(logger, logging.Logger):
            yield logger


def _made() -> list[logging.Logger]:
    """Return all loggers that there are but root, each after those above it."""
    made = [one for one in list(logging.Logger.manager.loggerDict.values()) if isinstance(one, logging.Logger)]
    return sorted(made, key=lambda logger: logger.name)


def _tolerant(
    make_record: Callable[..., logging.LogRecord], about_to_write: Callable[[logging.Logger], None]
) -> Callable[..., logging.LogRecord]:
    """Let `extra` hold any key: those that a record has itself get a `_`; the standard library raises `KeyError`.

    Args:
        about_to_write: told the logger before any handler gets the record.
    """

    def makeRecord(self: logging.Logger, *args: Any, **kwargs: Any) -> logging.LogRecord:  # noqa: N802 - its own name
        about_to_write(self)
        extra = args[8] if len(args) > 8 else kwargs.get("extra")
        if extra is not None and not RECORD_KEYS.isdisjoint(extra):
            extra = {f"{key}_" if key in RECORD_KEYS else key: value for key, value in extra.items()}
            if len(args) > 8:
                args = (*args[:8], extra, *args[9:])
            else:
                kwargs["extra"] = extra
        return make_record(self, *args, **kwargs)

    return makeRecord
