"""A port of a service's own, on which one of its processes listens at any time, and another when that one ends."""

from __future__ import annotations

import errno
import os
import socket
import threading
import weakref
from collections.abc import Mapping
from typing import Any, Literal

from belvedere import failures
from belvedere.asgi.server import binds
from belvedere.conventions import Event
from belvedere.metrics.port.claim import Claim
from belvedere.metrics.port.exchange import Handler
from belvedere.metrics.port.server import Server

RETRY = 1.0
"""Seconds between two attempts to listen: a scrape may miss a worker that ended, and hardly two."""
_JOIN = 1.0
"""Seconds to wait for the thread to end; it waits for nobody itself."""

State = Literal["closed", "open", "elsewhere", "failed"]
"""Not started or stopped; listening; another process of the service listens; nobody of the service can."""


class Port:
    """Listens on `number` while the application runs, if this process has the claim; else tries again each second.

    Args:
        number: the port; 0 is any that is free.
        handlers: what answers at each path.
        claim: says whether this process is to listen.
        logger: gets `metrics_listening` and `metrics_port_unavailable`; `None`: no events.
    """

    remedy = "choose another port by the setting metrics.port, or stop what listens there"

    def __init__(self, number: int, handlers: Mapping[str, Handler], claim: Claim, logger: Any = None) -> None:
        self.state: State = "closed"
        self.reason = ""
        """Why it failed, in a few words."""
        self._number = number
        self._handlers = handlers
        self._claim = claim
        self._logger = logger
        self._server: Server | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._lock = threading.Lock()

    @property
    def number(self) -> int:
        """The port that it listens on, or is to listen on."""
        server = self._server
        return server.port if server is not None else self._number

    def start(self, *, service_port: int | None = None) -> None:
        """Begin to listen, and to try where that cannot be now; never raises and never waits.

        Args:
            service_port: the service's own where it is known and not taken yet: that one is left alone.
        """
        if self._thread is not None:
            return
        if self._number and (service_port == self._number or binds(self._number)):
            self._fail("the service itself is to listen there")
            return
        _follow_forks(self)
        self._stopping.clear()
        # Here and now, so that whoever sees the application up can scrape it.
        self._try()
        self._thread = threading.Thread(target=self._run, name="belvedere-port", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:  # no thread to be had
            self.close()
            failures.contain("metrics", error)

    def close(self) -> None:
        """Stop listening at once, so that another process can; from any thread."""
        self._stopping.set()
        with self._lock:
            server, self._server = self._server, None
            if server is not None:
                server.close()
            self._claim.release()
            self.state = "closed"
        thread, self._thread = self._thread, None
        if thread is not None and thread.is_alive() and thread is not threading.current_thread():
            thread.join(_JOIN)

    def abandon(self) -> None:
        """Let go of what a forked process has got of it; no lock is taken, as its holder is not here."""
        server, self._server = self._server, None
        if server is not None:
            server.abandon()
        self._claim.abandon()
        self._thread = None
        self._lock = threading.Lock()
        self.state = "closed"

    def _run(self) -> None:
        while not self._stopping.is_set():
            server = self._server
            try:
                if server is not None:
                    try:
                        server.serve()
                    finally:
                        with self._lock:
                            # It ended without being told to: the next attempt begins anew.
                            self._server = None if self._server is server else self._server
                elif not self._stopping.wait(RETRY):
                    self._try()
            except Exception as error:
                failures.contain("metrics", error)
                self._stopping.wait(RETRY)

    def _try(self) -> None:
        with self._lock:
            failed = None if self._stopping.is_set() else self._open()
        if failed is not None:
            self._fail(failed)
        elif self.state == "open":
            self._log("info", Event.METRICS_LISTENING, port=self.number)

    def _open(self) -> str | None:
        """Listen, if that is for this process to do; return why it cannot."""
        if not self._claim():
            self.state = "elsewhere"
            return None
        try:
            self._server = Server(_listen(self._number), self._handlers)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and not self._claim.certain:
                # By a sibling, as far as one can know.
                self.state = "elsewhere"
                return None
            return os.strerror(error.errno or errno.EINVAL).lower()
        self.state = "open"
        return None

    def _fail(self, reason: str) -> None:
        told = self.state == "failed" and self.reason == reason
        self.state, self.reason = "failed", reason
        if not told:
            fields = {"port": self._number, "reason": reason, "remedy": self.remedy}
            self._log("warning", Event.METRICS_PORT_UNAVAILABLE, **fields)

    def _log(self, level: str, event: str, **fields: Any) -> None:
        if self._logger is None:
            return
        try:
            getattr(self._logger, level)(event, **fields)
        except Exception as error:  # a broken logger keeps nobody from scraping
            failures.contain("metrics", error)


def _listen(number: int) -> socket.socket:
    """Return a socket that listens on all interfaces, by IPv6 and IPv4 where both are there."""
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", number), family=socket.AF_INET6, dualstack_ipv6=True)
        except OSError as error:
            # Known to the kernel, and switched off.
            if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                raise
    return socket.create_server(("", number))


_ports: weakref.WeakSet[Port] = weakref.WeakSet()
_follows = False


def _follow_forks(port: Port) -> None:
    """Have children that are forked let go of the port: one that outlives this process would keep it for nothing."""
    global _follows
    _ports.add(port)
    if not _follows and hasattr(os, "register_at_fork"):
        _follows = True
        os.register_at_fork(after_in_child=_abandon_all)


def _abandon_all() -> None:
    for port in list(_ports):
        port.abandon()
