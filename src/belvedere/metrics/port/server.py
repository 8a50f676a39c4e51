"""A small HTTP server in threads: one request for each connection, bounded in number, time and size.

The standard library's parser and nothing of the service's server, which may be any, and may be stuck. It answers a
scraper now and then; what it must not do is to cost much, or to fall to whoever can reach the port.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from belvedere import failures
from belvedere.metrics.port.exchange import Exchange, Handler

AT_ONCE = 8
"""Connections that are served at the same time; one scraper needs one."""
ASK_WITHIN = 5.0
"""Seconds that a client has for its whole request."""
END_WITHIN = 30.0
"""Seconds that a connection may last; Prometheus gives up after 10, unless told otherwise (`scrape_timeout`)."""
_TICK = 0.5
"""Seconds between two looks at connections that last too long, while there are any."""
_LINGER = 0.5
"""Seconds for a client to close first; closed with something unread, its answer could be lost (RFC 9112, 9.6)."""
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"


@dataclass
class _Connection:
    socket: socket.socket
    began: float
    asking: bool = True
    """Until the whole head of its request has come."""


class Server:
    """Serves paths on a socket that listens.

    Args:
        listening: the socket, which is closed with the server.
        handlers: what answers at each path, in a thread, GET and HEAD alone.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        listening: socket.socket,
        handlers: Mapping[str, Handler],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._handlers = handlers
        self._listening = listening
        self._listening.setblocking(False)
        self._clock = clock
        self._closed = False
        self._serving = False
        self._open: dict[int, _Connection] = {}
        self._lock = threading.Lock()
        self._wake, self._woken = socket.socketpair()

    @property
    def handlers(self) -> Mapping[str, Handler]:
        return self._handlers

    @property
    def port(self) -> int:
        """The port that it listens on."""
        number: int = self._listening.getsockname()[1]
        return number

    def serve(self) -> None:
        """Accept connections until it is closed, each served in a thread of its own."""
        with self._lock:
            if self._closed:
                return
            self._serving = True
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._listening, selectors.EVENT_READ)
                selector.register(self._woken, selectors.EVENT_READ)
                while not self._closed:
                    ready = selector.select(_TICK if self._open else None)
                    self._cut_off()
                    if any(key.fileobj is self._listening for key, _ in ready):
                        self._accept()
        except (OSError, ValueError):
            # Closed under it; anything else is for whoever called.
            if not self._closed:
                raise
        finally:
            self.close()
            self._woken.close()

    def close(self) -> None:
        """Stop listening at once, from any thread; requests that are being answered come to their end."""
        with self._lock:
            self._closed = True
            self._listening.close()
            self._wake.close()
            if not self._serving:
                self._woken.close()

    def abandon(self) -> None:
        """Close what a forked process has of it; the parent goes on."""
        self._closed = True
        for one in (self._listening, self._wake, self._woken, *(entry.socket for entry in self._open.values())):
            one.close()

    def asked(self, connection: socket.socket) -> None:
        """Note that the head of a request has come."""
        with self._lock:
            if (entry := self._open.get(id(connection))) is not None:
                entry.asking = False

    def _accept(self) -> None:
        try:
            connection, address = self._listening.accept()
        except OSError:
            return  # It left already, or there are no descriptors: the next one may get one.
        if not self._room():
            connection.setblocking(False)
            _quietly(connection.send, _BUSY)
            connection.close()
            return
        with self._lock:
            self._open[id(connection)] = _Connection(connection, self._clock())
        thread = threading.Thread(
            target=self._converse, args=(connection, address), name="belvedere-port-request", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # no thread to be had
            self._forget(connection)
            connection.close()

    def _room(self) -> bool:
        """Whether one more can be served; who has been asking for longest makes room for it."""
        with self._lock:
            if len(self._open) < AT_ONCE:
                return True
            asking = [key for key, entry in self._open.items() if entry.asking]
            if not asking:
                return False
            self._end(self._open.pop(asking[0]))
            return True

    def _cut_off(self) -> None:
        """End what lasts too long."""
        now = self._clock()
        with self._lock:
            for entry in self._open.values():
                if now - entry.began > (ASK_WITHIN if entry.asking else END_WITHIN):
                    self._end(entry)

    def _end(self, entry: _Connection) -> None:
        # Its thread is woken by that, and closes it.
        _quietly(entry.socket.shutdown, socket.SHUT_RDWR)

    def _forget(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.pop(id(connection), None)

    def _converse(self, connection: socket.socket, address: Any) -> None:
        try:
            Exchange(connection, address, self)
            _linger(connection, self._clock)
        except OSError:
            pass  # The client left, or was cut off.
        except Exception as error:
            failures.contain("metrics", error)
        finally:
            # Forgotten first: once it is closed, its number may be another's.
            self._forget(connection)
            connection.close()


def _linger(connection: socket.socket, clock: Callable[[], float]) -> None:
    connection.shutdown(socket.SHUT_WR)
    connection.settimeout(_LINGER)
    until = clock() + _LINGER
    while clock() < until and connection.recv(65_536):
        pass


def _quietly(call: Callable[..., Any], argument: Any) -> None:
    try:
        call(argument)
    except OSError:
        pass
