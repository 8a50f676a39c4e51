"""Serves the application in this process, until SIGINT or SIGTERM."""

from __future__ import annotations

import errno
import signal
import socket
from types import FrameType

import uvicorn

from scholarships.config import Config
from scholarships.service import create_app

LONGEST_GOODBYE = 10
"""Seconds that requests under way get when the service stops."""


class PortError(OSError):
    """An address that cannot be listened on; the text says what to do."""


def listen(config: Config) -> socket.socket:
    """Return a socket that listens on the address of the configuration.

    Raises:
        PortError: where another program has the port, or it cannot be had.
    """
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        return socket.create_server((config.host, config.port), family=family)
    except OSError as error:
        where = f"port {config.port} of {config.host}"
        if error.errno == errno.EADDRINUSE:
            raise PortError(
                f"Another program listens on {where}. Choose another one by PORT, any free one by PORT=0."
            ) from None
        raise PortError(f"The service cannot listen on {where}: {error.strerror}") from None


def address(listener: socket.socket) -> str:
    """Return where a socket can be called."""
    host, port, *_ = listener.getsockname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def leave_cleanly() -> None:
    """Have SIGINT and SIGTERM end the process with exit code 0, from now on.

    While uvicorn serves it has handlers of its own; when it is done it raises the signal that stopped it once more.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)


def serve(config: Config, listener: socket.socket) -> None:
    """Serve until stopped.

    Raises:
        SystemExit: with exit code 3 when the service could not start, else as `leave_cleanly` has it.
    """
    options = uvicorn.Config(
        create_app(config),
        access_log=False,  # Belvedere writes one line for each request
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=LONGEST_GOODBYE,
    )
    uvicorn.Server(options).run(sockets=[listener])


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
