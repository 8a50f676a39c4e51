"""Where tests find the servers that Debian has no packages of: Elasticsearch, an OpenTelemetry Collector, a Jaeger."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ADDRESSES = {
    "ELASTICSEARCH_URL": "http://127.0.0.1:9200",
    "JAEGER_OTLP_HTTP_URL": "http://127.0.0.1:4328",
    "JAEGER_URL": "http://127.0.0.1:16686",
    "OTLP_FILE": str(Path(__file__).parent / "written" / "otlp.jsonl"),
    "OTLP_GRPC_URL": "http://127.0.0.1:4317",
    "OTLP_HTTP_URL": "http://127.0.0.1:4318",
}
"""The variables that say it, and where `compose.yaml` has what they name. `OTLP_FILE` is what the Collector writes, as
`collector.yaml` has it do."""


def address(variable: str) -> str | None:
    """Return what the variable says, with `REQUIRE_BACKENDS=1` else the address of `compose.yaml`'s, else `None`.

    The test fails where nothing answers there.
    """
    default = ADDRESSES[variable]
    found = os.environ.get(variable) or (default if os.environ.get("REQUIRE_BACKENDS") == "1" else None)
    if found is not None and not _is_there(found):
        pytest.fail(f"{variable}: nothing is at {found}")
    return found


def needed(*variables: str) -> list[str]:
    """Return an address for each variable, or skip the test."""
    found = {variable: address(variable) for variable in variables}
    if missing := [variable for variable, at in found.items() if at is None]:
        pytest.skip(f"no {', '.join(missing)}: CONTRIBUTING.md says how to start them")
    return [at for at in found.values() if at is not None]


def _is_there(found: str) -> bool:
    at = urlsplit(found)
    if not at.hostname:
        return Path(found).is_file()
    try:
        socket.create_connection((at.hostname, at.port or 80), timeout=10).close()
    except OSError:
        return False
    return True
