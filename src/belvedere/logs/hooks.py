"""What the interpreter prints by itself: warnings, and exceptions that nobody catches. Here it becomes log lines."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any, Final, TextIO

from belvedere.conventions import OWN_LOGGER, Event
from belvedere.logs import output

WARNINGS: Final = "py.warnings"
"""The logger of warnings, as `logging.captureWarnings` has it."""


class Hooks:
    """Puts functions of ours in place of the interpreter's own.

    A hook that somebody else has set (Sentry, pytest) is theirs and stays.
    """

    def __init__(self) -> None:
        self._ours: list[tuple[Any, str, Any, Any]] = []

    def take(self) -> None:
        self._put(sys, "excepthook", sys.__excepthook__, _uncaught)
        self._put(threading, "excepthook", threading.__excepthook__, _uncaught_in_thread)
        self._put(sys, "unraisablehook", sys.__unraisablehook__, _ignored)
        if getattr(warnings, "_showwarnmsg_impl", None) is _SHOW:
            # Else somebody records warnings, as `catch_warnings(record=True)` and pytest do.
            self._put(warnings, "showwarning", _SHOW_WARNING, _warned)

    def give_back(self) -> None:
        for place, name, before, hook in self._ours:
            # What somebody else has set since is theirs; it may call ours, which then does what was there before.
            if getattr(place, name) is hook:
                setattr(place, name, before)
        self._ours.clear()

    def _put(self, place: Any, name: str, default: Any, hook: Callable[..., None]) -> None:
        if getattr(place, name) is default:
            setattr(place, name, hook)
            self._ours.append((place, name, default, hook))


_SHOW: Final = getattr(warnings, "_showwarnmsg_impl", None)
_SHOW_WARNING: Final = getattr(warnings, "_showwarning_orig", None)


def _uncaught(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """Log the exception that ends the process; where stderr is a terminal and stdout is not, somebody waits there."""
    named = {"thread_name": threading.current_thread().name}
    if not _logged(logging.CRITICAL, Event.UNCAUGHT_EXCEPTION, error, named) or (
        _terminal(sys.stderr) and not _terminal(sys.stdout)
    ):
        sys.__excepthook__(kind, error, trace)


def _uncaught_in_thread(args: Any) -> None:
    """Log the exception that ends a thread, but for `SystemExit`, which ends one in good order."""
    if args.exc_type is SystemExit:
        return
    named = {"thread_name": args.thread.name if args.thread is not None else ""}
    if args.exc_value is None or not _logged(logging.ERROR, Event.UNCAUGHT_EXCEPTION, args.exc_value, named):
        threading.__excepthook__(args)


def _ignored(unraisable: Any) -> None:
    """Log an exception that Python can raise nowhere, as those of `__del__`."""
    # Its representation alone: who keeps the object brings it back to life.
    where = f"{unraisable.err_msg or 'Exception ignored in'}: {_represented(unraisable.object)}"
    if unraisable.exc_value is None or not _logged(
        logging.ERROR, Event.IGNORED_EXCEPTION, unraisable.exc_value, {"where": where}
    ):
        sys.__unraisablehook__(unraisable)


def _warned(  # noqa: PLR0917 - the signature of `warnings.showwarning`
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Log a warning; where it is to be written into a file, it is."""
    if file is None and output.active is not None:
        extra = {"category": category.__name__, "place": f"{filename}:{lineno}"}
        logging.getLogger(WARNINGS).warning("%s", message, extra=extra)
    elif _SHOW_WARNING is not None:
        _SHOW_WARNING(message, category, filename, lineno, file, line)


def _logged(level: int, event: str, error: BaseException, fields: dict[str, Any]) -> bool:
    if output.active is None:
        return False
    try:
        logging.getLogger(OWN_LOGGER).log(
            level,
            event,
            exc_info=(type(error), error, error.__traceback__),
            extra={"exception_type": type(error).__name__, "exception_message": str(error), **fields},
        )
    except Exception:  # the interpreter may be about to end, and the exception may be anything: Python's own can do it
        return False
    return True


def _terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except Exception:  # a replacement may be anything, `None` included
        return False


def _represented(thing: object) -> str:
    try:
        return repr(thing)
    except Exception:  # what is being taken apart need not have a representation any more
        return f"<{type(thing).__name__}>"
