"""Lines of processes that load no application: the configuration, and its formatter."""

from __future__ import annotations

import contextlib
import json
import logging
import logging.config
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from belvedere.logs import Formatter, logconfig, logconfig_ini
from belvedere.settings import Settings
from tests.logs.conftest import Start
from tests.logs.lines import line, parsed


def record(**known: Any) -> logging.LogRecord:
    return logging.makeLogRecord({"name": "uvicorn.error", "levelno": 20, "levelname": "INFO", "msg": "m", **known})


def test_a_configuration_is_plain_data() -> None:
    """It can be written as JSON, holds levels and loggers, and names its formatter by a path that can be imported."""
    made = logconfig(
        Settings(
            service="shop", environment="prod", logs={"level": "warning", "quiet": {"lib": "error", "uvicorn": "info"}}
        )
    )
    assert json.loads(json.dumps(made)) == made
    loggers = made.pop("loggers")
    assert made == {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "belvedere": {"()": "belvedere.logs.dictconfig.Formatter", "service": "shop", "environment": "prod"}
        },
        "handlers": {
            "belvedere": {"class": "logging.StreamHandler", "formatter": "belvedere", "stream": "ext://sys.stdout"}
        },
        "root": {"level": "WARNING", "handlers": ["belvedere"]},
    }
    assert loggers["lib"] == {"propagate": True, "level": "ERROR"}
    assert loggers["uvicorn"] == {"handlers": [], "propagate": True, "level": "INFO"}
    assert loggers["uvicorn.error"] == loggers["gunicorn.error"] == {"handlers": [], "propagate": True}


def test_what_is_not_known_is_left_to_the_environment() -> None:
    """Without a service and an environment in the settings, the process that uses the configuration finds its own."""
    assert logconfig(Settings(logs=None))["formatters"] == {
        "belvedere": {"()": "belvedere.logs.dictconfig.Formatter"},
    }


def test_the_formatter_makes_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """They look like those of an observed application, whose settings come from the environment."""
    monkeypatch.setenv("BELVEDERE_SERVICE", "shop")
    monkeypatch.setenv("ENVIRONMENT", "test")
    monkeypatch.setenv("BELVEDERE_LOGS__KEYS", '{"event": "message"}')
    formatter = Formatter(service="other", environment="other")
    (written,) = parsed(formatter.format(record(msg="with %s", args=("it",), token="t", color_message="c")) + "\n")
    expected = line("info", "uvicorn.error", "", token="[redacted]")
    expected["message"] = "with it"
    del expected["event"]
    assert written == expected


def test_the_configuration_stands_in_for_the_environment() -> None:
    """What the environment does not say, the configuration does."""
    formatter = Formatter(service="shop", environment="test")
    error = KeyError("k")
    texts = [
        formatter.format(record(exc_info=(KeyError, error, None))),
        formatter.format(record(exc_text="E: e", stack_info="Stack")),
        formatter.format(record(exc_info=(None, None, None))),
    ]
    assert parsed("\n".join(texts) + "\n") == [
        line("info", "uvicorn.error", "m", exception="KeyError: 'k'"),
        line("info", "uvicorn.error", "m", stack_info="Stack", exception="E: e"),
        line("info", "uvicorn.error", "m"),
    ]


def test_a_line_that_cannot_be_made_is_described() -> None:
    """A server must not stop for a line."""
    broken = record()
    del broken.created
    assert Formatter().format(broken).startswith("<LogRecord: uvicorn.error, 20, ")


def test_the_same_configuration_can_be_read_as_ini(tmp_path: Path) -> None:
    """`fileConfig`, which gunicorn and hypercorn use, makes the same loggers and lines of it."""
    logs = {"level": "info", "quiet": {"lib, odd": "error", "uvicorn": "warning"}}
    file = tmp_path / "logging.ini"
    file.write_text(logconfig_ini(Settings(service="100% shop", environment="test", logs=logs)))
    program = """
import logging.config, sys
logging.config.fileConfig(sys.argv[1], defaults={"here": "100%"}, disable_existing_loggers=False)
for name in ("gunicorn.error", "app", "lib, odd", "uvicorn.error"):
    logging.getLogger(name).info("hidden or shown")
"""
    command = [sys.executable, "-c", program, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    expected = [line("info", name, "hidden or shown") for name in ("gunicorn.error", "app")]
    assert (parsed(done.stdout), done.stderr) == ([{**one, "service": "100% shop"} for one in expected], "")


def test_an_observed_application_takes_the_place_of_the_configuration(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a worker, the handler of the configuration is taken off, and each line written once."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    logging.config.dictConfig(logconfig(Settings(service="shop", environment="test")))
    logging.getLogger("uvicorn.error").info("alone")
    logs = start()
    logging.getLogger("uvicorn.error").info("observed")
    logs.remove()
    root.handlers[:] = before
    root.setLevel(level)
    assert parsed(capsys.readouterr().out) == [
        line("info", "uvicorn.error", "alone"),
        line("info", "uvicorn.error", "observed"),
    ]


def test_a_supervisor_writes_json_from_its_first_line_to_its_last(tmp_path: Path) -> None:
    """`uvicorn --workers 2 --log-config` with our file: every line of every process is one JSON object."""
    (tmp_path / "config.json").write_text(json.dumps(logconfig(Settings(service="shop", environment="test"))))
    (tmp_path / "nothing.py").write_text("async def app(scope, receive, send): ...\n")
    options = ["--workers", "2", "--port", "0", "--lifespan", "off", "--log-config", "config.json"]
    options += ["--timeout-worker-healthcheck", "60"]  # else a busy machine's workers are killed as they start
    texts: list[str] = []
    with (
        subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "nothing:app", *options],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as server,
        contextlib.ExitStack() as whatever_happens,
    ):
        whatever_happens.callback(server.kill)
        assert server.stdout is not None
        for text in server.stdout:
            texts.append(text)
            if sum("Started server process" in one for one in texts) == 2:
                server.send_signal(signal.SIGTERM)
                break
        texts += server.stdout.readlines()
    written = parsed("".join(texts))
    assert {(item["service"], item["environment"], item["logger"]) for item in written} == {
        ("shop", "test", "uvicorn.error"),
    }
    events = [item["event"] for item in written]
    assert events[0].startswith("Uvicorn running on")
    assert any(event.startswith("Started parent process") for event in events)
    assert events[-1].startswith("Stopping parent process")
