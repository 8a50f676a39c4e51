"""A logging configuration for the processes of a server that load no application, such as uvicorn's supervisor."""

from __future__ import annotations

import json
import logging
from typing import Any

from belvedere.logs.bridge import extra_fields, level_name, message
from belvedere.logs.installation import colors_wanted, decide_format
from belvedere.logs.pipeline import Pipeline
from belvedere.logs.serialise import describe
from belvedere.logs.servers import SERVER_LOGGERS
from belvedere.logs.tracebacks import formatted
from belvedere.settings import LogSettings, Settings


class Formatter(logging.Formatter):
    """Formats records as the lines of an observed application.

    Settings come from the environment; `service` and `environment` stand in where it does not say them.
    """

    def __init__(self, service: str = "", environment: str = "") -> None:
        super().__init__()
        settings = Settings()
        own = {"service": settings.service or service}
        if environment and "environment" not in settings.model_fields_set:
            own["environment"] = environment
        settings = settings.model_copy(update=own)
        self._pipeline = Pipeline(settings, decide_format(settings)[0], colors=colors_wanted())

    def format(self, record: logging.LogRecord) -> str:
        error = record.exc_info[1] if record.exc_info else None
        try:
            line = self._pipeline.line(
                level_name(record),
                record.name,
                message(record),
                extra_fields(record),
                exception=record.exc_text if error is None else formatted(error),
                stack=record.stack_info,
                at=int(record.created * 1_000_000_000),
            )
            return self._pipeline.render(line).decode("utf-8", "replace").rstrip("\n")
        except Exception:  # a server must not stop for a line
            return describe(record)


class IniFormatter(Formatter):
    """The same, as `fileConfig` makes it: service and environment are the JSON object that stands as its format."""

    def __init__(self, fmt: str | None = None, *_: Any, **__: Any) -> None:
        super().__init__(**json.loads(fmt or "{}"))


def logconfig(settings: Settings) -> dict[str, Any]:
    """Return a configuration after PEP 391, made of plain data, for `--log-config` of uvicorn and granian.

    An application that is observed in the same process takes its place.
    """
    logs = settings.logs or LogSettings()
    formatter: dict[str, str] = {"()": f"{Formatter.__module__}.{Formatter.__qualname__}"}
    if settings.service:
        formatter["service"] = settings.service
    if "environment" in settings.model_fields_set:
        formatter["environment"] = settings.environment
    loggers: dict[str, dict[str, Any]] = {name: {"handlers": [], "propagate": True} for name in SERVER_LOGGERS}
    for name, level in logs.quiet.items():
        loggers.setdefault(name, {"propagate": True})["level"] = level.upper()
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"belvedere": formatter},
        "handlers": {
            "belvedere": {"class": "logging.StreamHandler", "formatter": "belvedere", "stream": "ext://sys.stdout"}
        },
        "root": {"level": logs.level.upper(), "handlers": ["belvedere"]},
        "loggers": loggers,
    }


def logconfig_ini(settings: Settings) -> str:
    """Return the same configuration as `fileConfig` reads it, for `--log-config` of gunicorn and hypercorn."""
    made = logconfig(settings)
    loggers: dict[str, dict[str, Any]] = made["loggers"]
    formatter = {key: value for key, value in made["formatters"]["belvedere"].items() if key != "()"}
    sections: dict[str, dict[str, str]] = {
        "loggers": {"keys": ", ".join(["root", *(_key(name) for name in loggers)])},
        "handlers": {"keys": "belvedere"},
        "formatters": {"keys": "belvedere"},
        "formatter_belvedere": {
            "class": f"{IniFormatter.__module__}.{IniFormatter.__qualname__}",
            "format": json.dumps(formatter),
        },
        "handler_belvedere": {"class": "StreamHandler", "formatter": "belvedere", "args": "(sys.stdout,)"},
        "logger_root": {"level": made["root"]["level"], "handlers": "belvedere"},
    }
    for name, logger in loggers.items():
        level = {"level": logger["level"]} if "level" in logger else {}
        sections[f"logger_{_key(name)}"] = {"qualname": name, **level, "handlers": "", "propagate": "1"}
    return "\n".join(
        "".join([f"[{name}]\n", *(f"{key} = {value}".rstrip() + "\n" for key, value in section.items())])
        for name, section in sections.items()
    )


def _key(logger: str) -> str:
    """Return the name of a logger's section; commas would end it."""
    return logger.replace(",", "_")
