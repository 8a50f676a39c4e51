"""Loggers as servers configure them, and what there is to give back about one."""

from __future__ import annotations

import logging
import sys
from typing import Any


def state(name: str | None = None) -> tuple[list[logging.Handler], int, bool, bool]:
    """Return what there is to give back about a logger."""
    logger = logging.getLogger(name)
    return list(logger.handlers), logger.level, logger.propagate, logger.disabled


def console(stream: Any = None) -> logging.StreamHandler[Any]:
    return logging.StreamHandler(stream or sys.stdout)


UVICORN: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {
        "default": {"class": "logging.StreamHandler", "stream": "ext://sys.stderr"},
        "access": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout"},
    },
    "loggers": {
        "uvicorn": {"handlers": ["default"], "level": "INFO", "propagate": False},
        "uvicorn.error": {"level": "INFO"},
        "uvicorn.access": {"handlers": ["access"], "level": "INFO", "propagate": False},
    },
}
