"""Processes that fork while a thread of theirs imports what it reports with: a child never gets past such an import."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.integrations.envelopes import receiving as receiving_events
from tests.processes.launch import running, wait_for
from tests.tracing.receiver import receiving as receiving_spans

SOURCE = (Path(__file__).parent / "applications" / "forking.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_spans_of_parent_and_child(protocol: str, tmp_path: Path) -> None:
    """Both export, though the process forked while its exporter was imported."""
    (tmp_path / "forking.py").write_text(SOURCE)
    with receiving_spans() as receiver:
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc if protocol == "grpc" else receiver.http,
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_BSP_SCHEDULE_DELAY": "20",
        }
        with running([sys.executable, "forking.py", "spans"], tmp_path, {**os.environ, **variables}, 0) as process:
            wait_for(lambda: len(receiver.spans) == 3, process)
        assert Counter(sent.item.name for sent in receiver.spans) == {"parent": 2, "child": 1}


def test_events_of_parent_and_child(tmp_path: Path) -> None:
    """Both report to Sentry, though the process forked while the SDK's thread sent its first event."""
    (tmp_path / "forking.py").write_text(SOURCE)
    with receiving_events() as sentry:
        settings = {**os.environ, "SENTRY_DSN": sentry.dsn}
        with running([sys.executable, "forking.py", "sentry"], tmp_path, settings, 0) as process:
            wait_for(lambda: len(sentry.events) == 3, process)
        assert Counter(event["message"] for event in sentry.events) == {"parent": 2, "child": 1}
