"""A socket as stdout, as systemd's journal gives one to a service and inetd to each connection."""

from __future__ import annotations

import fcntl
import os
import socket
import sys
import termios

from belvedere.logs.pipe import Shared
from belvedere.logs.sinks import BACKLOG, PIECE


class StreamSocket(Shared):
    """A socket, asked not to wait by each call: its mode is shared with parent and siblings, and it has no other name.

    Siblings write to the very same description. So the lock is one of the process (fcntl(2)), and short lines ask for
    it as well: a socket may take any line in part.
    """

    short = fcntl.LOCK_EX

    def __init__(self, descriptor: int, *, block: bool, limit: int = BACKLOG) -> None:
        super().__init__(descriptor, block=block, limit=limit)
        self._socket = socket.socket(fileno=os.dup(descriptor))

    def _give_back(self) -> None:
        self._socket.close()

    def _put(self, data: memoryview | bytes) -> int:
        if self._holds:
            return self._send(data)
        # A first piece with nothing kept before it: should it be taken in part, it goes on as what is kept does.
        self._take(fcntl.LOCK_EX)
        taken = 0
        try:
            taken = self._send(data)
        finally:
            self._begun = 0 < taken < len(data)
            if not self._begun:
                self._leave()
        return taken

    def _send(self, data: memoryview | bytes) -> int:
        return self._socket.send(data, socket.MSG_DONTWAIT)

    def _lock(self, mode: int) -> None:
        fcntl.lockf(self._descriptor, mode)

    def _has_room(self, size: int) -> bool:
        try:
            capacity = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
            found = fcntl.ioctl(self._descriptor, termios.TIOCOUTQ, bytes(4))
        except OSError:
            return True  # Nobody can tell.
        unread = int.from_bytes(found, sys.byteorder)
        # What is sent takes more than its own size, in pieces of a page at worst about a half more.
        return unread == 0 or capacity - unread >= 2 * max(size, PIECE)
