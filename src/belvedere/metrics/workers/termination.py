"""Whether this process was told to stop: the difference between a service that ends and a worker that is replaced.

The last worker to leave removes what the service has on disk. One that leaves of its own accord, after so many
requests, is replaced by another, which goes on counting.
"""

from __future__ import annotations

import functools
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

from belvedere.asgi.server import told_without_a_signal

_SIGNALS: Final = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGQUIT") if hasattr(signal, name))


class Termination:
    """Notes the signals by which servers stop their workers, and leaves them to the server's own handlers.

    Args:
        on_told: called at each of them, in the handler.
    """

    def __init__(self, on_told: Callable[[], None]) -> None:
        self._on_told = on_told
        self._noted = False
        self._before: dict[int, tuple[Any, Callable[[int, FrameType | None], Any]]] = {}

    @property
    def told(self) -> bool:
        """Whether it was told to stop; taken for granted where signals cannot be watched, or tell nothing."""
        if self._noted:
            return True
        told = told_without_a_signal()
        return signal.SIGTERM not in self._before if told is None else told

    def watch(self) -> None:
        """Put a note before each handler that is there now; in the main thread alone, as Python allows no other."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            if callable(handler) and number not in self._before:
                # uvicorn notes a signal that comes while it imports the application, before anybody else can.
                self._noted = self._noted or getattr(getattr(handler, "__self__", None), "should_exit", False) is True
                ours = self._noting(handler)
                signal.signal(number, ours)
                self._before[number] = (handler, ours)

    def leave(self) -> None:
        """Put back the handlers that nobody has replaced since."""
        if threading.current_thread() is threading.main_thread():
            for number, (handler, ours) in self._before.items():
                if signal.getsignal(number) is ours:
                    signal.signal(number, handler)
        self._before.clear()

    def _noting(self, handler: Callable[[int, FrameType | None], Any]) -> Callable[[int, FrameType | None], Any]:
        # What drains on SIGTERM has to know whose the handler is: it unwraps.
        @functools.wraps(handler)
        def noting(number: int, frame: FrameType | None) -> Any:
            self._noted = True
            self._on_told()
            return handler(number, frame)

        return noting
