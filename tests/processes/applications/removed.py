"""An application that takes Belvedere off while it is served, and tells what is left; OBSERVED=0: it never was on."""

import logging
import os
import sys
import threading
import warnings
from typing import Any

import structlog
from fastapi import FastAPI

import belvedere

app = FastAPI(title="Shop")
observability = belvedere.observe(app) if os.environ["OBSERVED"] == "1" else None


@app.get("/healthz")
async def alive() -> None:
    """The harness asks for it."""


@app.get("/remove")
async def remove() -> dict[str, Any]:
    if observability is not None:
        observability.remove()
    loggers = {name: logger for name, logger in logging.Logger.manager.loggerDict.items() if _is_server(name)}
    return {
        "pid": os.getpid(),
        "loggers": {name: _state(logger) for name, logger in loggers.items() if isinstance(logger, logging.Logger)},
        "root": _state(logging.getLogger()),
        "makeRecord": logging.Logger.makeRecord.__module__,
        "structlog": structlog.is_configured(),
        "hooks": [
            _where(hook) for hook in (sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning)
        ],
        "stderr": type(sys.stderr).__name__,
        "stack": _stack(),
    }


@app.get("/failing")
async def failing() -> None:
    raise RuntimeError("no stock")


def _is_server(name: str) -> bool:
    return name.partition(".")[0] in {"uvicorn", "gunicorn", "_granian", "granian", "hypercorn"}


def _state(logger: logging.Logger) -> list[Any]:
    handlers = [
        [type(handler).__name__, getattr(getattr(handler, "stream", None), "name", "")] for handler in logger.handlers
    ]
    return [handlers, logger.level, logger.propagate, logger.disabled]


def _where(hook: Any) -> str:
    return f"{hook.__module__}.{hook.__name__}"


def _stack() -> list[str]:
    """The middleware from outside in."""
    found = []
    inner: Any = app.middleware_stack
    while inner is not None:
        found.append(type(inner).__name__)
        inner = getattr(inner, "app", None)
    return found
