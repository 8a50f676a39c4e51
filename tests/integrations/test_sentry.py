"""What Sentry's part makes of arguments and variables, and what redaction makes of events; a client of the SDK is made
in a process of its own, as what it patches in other libraries stays patched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

import belvedere
from belvedere import integrations
from belvedere.integrations._sentry.redaction import bare, redacted, redacted_span
from belvedere.redaction import Redactor
from belvedere.settings import SettingsError
from tests.integrations.conftest import Observe

ROOT = Path(__file__).parents[2]
SECRET = "hunter2"


def run(code: str, **variables: str) -> str:
    """Run `code` in a fresh interpreter with these variables, and return what it printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SENTRY_", "PYTEST_"))}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment | variables)
    return done.stdout.strip()


def test_in_a_process_of_its_own(request: pytest.FixtureRequest) -> None:
    """What `sentry_alone.py` says of a client, and the conformance suite, hold."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SENTRY_", "PYTEST_"))}
    files = ["tests/integrations/sentry_alone.py", "tests/integrations/test_conformance.py"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *files]
    ran = subprocess.run(
        command, check=False, cwd=ROOT, env=environment | {"ALONE": "1"}, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]


def test_without_a_dsn_nothing_is_imported() -> None:
    """Off, with the reason, and nothing of the SDK is there; with an empty DSN too, whatever the variable says."""
    code = (
        "import sys, belvedere\nfrom belvedere import integrations\nfrom fastapi import FastAPI\n"
        "for part in (integrations.sentry({dsn}), ):\n"
        "    obs = belvedere.observe(FastAPI(), part)\n"
        "    row = obs.report()['sentry']\n"
        "    obs.remove()\n"
        "    print(row['state'], row['why'], 'sentry_sdk' in sys.modules)"
    )
    off = "off no DSN: set SENTRY_DSN False"
    assert run(code.format(dsn="")) == off
    assert run(code.format(dsn="''"), SENTRY_DSN="http://key@localhost/7") == off
    assert run(code.format(dsn=""), SENTRY_DSN=" ") == off


def test_without_the_extra() -> None:
    """With a DSN, the call tells what to install; without one, nothing is missing."""
    code = (
        "import sys; sys.modules['sentry_sdk'] = None\nfrom belvedere import integrations\n"
        "try:\n    print(integrations.sentry().state)\nexcept ImportError as error: print(error)"
    )
    assert run(code) == "off"
    assert run(code, SENTRY_DSN="http://key@localhost/7").endswith("pip install 'belvedere[sentry]'")


@pytest.mark.parametrize(
    "dsn", [f"{SECRET}", f"http://{SECRET}@host", f"https://{SECRET}@host/project", f"ftp://{SECRET}@h/1", "http://h/1"]
)
def test_a_dsn_that_is_none(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stops the start, and does not say what it was."""
    monkeypatch.setenv("SENTRY_DSN", dsn)
    with pytest.raises(SettingsError, match=r"sentry\.dsn \(SENTRY_DSN\): it is no DSN") as raised:
        integrations.sentry()
    assert SECRET not in str(raised.value)
    assert raised.value.__cause__ is None


def test_rates_that_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them are named."""
    monkeypatch.setenv("SENTRY_PROFILES_SAMPLE_RATE", "often")
    with pytest.raises(SettingsError) as raised:
        integrations.sentry(traces=10)
    assert "sentry.traces (SENTRY_TRACES_SAMPLE_RATE): it is a share from 0 to 1" in str(raised.value)
    assert "sentry.profiles (SENTRY_PROFILES_SAMPLE_RATE): it is a share from 0 to 1" in str(raised.value)


def test_what_there_is_not() -> None:
    """Unknown options and integrations are refused at the call."""
    with pytest.raises(TypeError, match="has no option sample_rates"):
        integrations.sentry("http://key@localhost/7", sample_rates=1)
    with pytest.raises(ValueError, match="integrations are fastapi, starlette"):
        integrations.sentry(integrations=["django"])


def test_off_in_an_application(observe: Observe) -> None:
    """Without a DSN an application is observed as it is without the part."""
    part = integrations.sentry(name="errors")
    obs = observe(FastAPI(), part)
    assert obs.report()["errors"] == {"state": "off", "why": "no DSN: set SENTRY_DSN"}
    assert obs.catalogue()["features"]["errors"] == "off"
    with pytest.raises(ValueError, match="already"):
        obs.add(part)
    assert isinstance(part, belvedere.Part)


EVENT: dict[str, Any] = {
    "event_id": "4111111111111111aaaaaaaaaaaaaaaa",
    "timestamp": "2026-11-21T19:14:11.585751Z",
    "platform": "python",
    "tags": {"request_id": "4111-1111-1111-1111", "trace_id": "4111111111111111", "note": "ana@example.com"},
    "user": {"id": "u-7", "email": "ana@example.com", "ip_address": "10.0.0.1"},
    "extra": {"token": SECRET, "lines": [{"password": SECRET}]},
    "message": f"password={SECRET}",
    "logentry": {"message": "card %s", "params": ["4111 1111 1111 1111"]},
    "request": {
        "url": f"http://user:{SECRET}@host/path",
        "query_string": f"token={SECRET}&q=a",
        "headers": {"authorization": SECRET, "x-forwarded-for": "10.0.0.1", "accept": "*/*"},
        "cookies": {"sid": SECRET},
        "data": {"password": SECRET, "q": "a"},
        "env": {"REMOTE_ADDR": "10.0.0.1"},
    },
    "breadcrumbs": {"values": [{"timestamp": "2026-11-21T19:14:11Z", "message": f"secret={SECRET}", "data": {}}]},
    "contexts": {"trace": {"trace_id": "4111111111111111", "data": {"url.full": f"https://a:{SECRET}@b"}}},
    "spans": [{"span_id": "4111111111111111", "description": f"GET https://a:{SECRET}@b", "data": {"token": SECRET}}],
    "exception": {
        "values": [
            {
                "type": "TokenError",
                "value": f"token={SECRET}",
                "mechanism": {"type": "starlette", "handled": False, "data": {"password": SECRET}},
                "stacktrace": {
                    "frames": [
                        {
                            "function": "login",
                            "lineno": 3,
                            "pre_context": [f'password = "{SECRET}"', "count = 1"],
                            "context_line": f"    self.api_key: str = '{SECRET}'",
                            "post_context": [f"login(password='{SECRET}')"],
                            "vars": {"password": SECRET, "user": f"User(password='{SECRET}')", "count": "1"},
                        }
                    ]
                },
            }
        ]
    },
}


def test_no_part_of_an_event_shows_a_secret() -> None:
    """By key and by shape, wherever it stands; ids, types, places and what is harmless stay."""
    shown = redacted(EVENT, Redactor())
    text = repr(shown)
    assert [secret for secret in (SECRET, "ana@example.com", "10.0.0.1", "4111 1111") if secret in text] == []
    assert (shown["event_id"], shown["timestamp"]) == (EVENT["event_id"], EVENT["timestamp"])
    assert shown["tags"] | {"note": ""} == EVENT["tags"] | {"note": ""}
    assert shown["user"]["id"] == "u-7"
    assert shown["request"]["query_string"] == "token=[redacted]&q=a"
    assert shown["request"]["headers"]["accept"] == "*/*"
    assert shown["contexts"]["trace"]["trace_id"] == "4111111111111111"
    assert shown["spans"][0]["span_id"] == "4111111111111111"
    (thrown,) = shown["exception"]["values"]
    assert (thrown["type"], thrown["value"]) == ("TokenError", "token=[redacted]")
    (frame,) = thrown["stacktrace"]["frames"]
    assert frame == {
        "function": "login",
        "lineno": 3,
        "pre_context": ["password = [redacted]", "count = 1"],
        "context_line": "    self.api_key: str = [redacted]",
        "post_context": ["login(password='[redacted]')"],
        "vars": {"password": "[redacted]", "user": "User(password='[redacted]')", "count": "1"},
    }


def test_what_could_not_be_redacted() -> None:
    """Of an event in a shape that nobody knows, ids, types and places are left."""
    shown = bare(EVENT)
    assert SECRET not in repr(shown)
    assert shown["tags"] == {"request_id": "4111-1111-1111-1111", "trace_id": "4111111111111111"}
    assert shown["exception"]["values"][0]["stacktrace"] == {"frames": [{"function": "login", "lineno": 3}]}
    assert bare({"event_id": "1", "exception": [SECRET], "tags": [SECRET], "spans": SECRET}) == {
        "event_id": "1",
        "tags": {},
        "extra": {"belvedere": "what could not be redacted was left out"},
    }


def test_spans_of_newer_sdks() -> None:
    """Their names and attributes are redacted, and the command that the process was started with is left out."""
    span = {
        "span_id": "4111111111111111",
        "name": f"GET https://a:{SECRET}@b",
        "attributes": {"token": SECRET, "process.command_args": [SECRET], "http.request.header.cookie": [SECRET]},
    }
    shown = redacted_span(span, Redactor())
    assert SECRET not in repr(shown)
    assert shown["span_id"] == span["span_id"]
    assert shown["attributes"].keys() == {"token", "http.request.header.cookie"}
