"""Requests made from the OpenAPI document, valid and not, and the answers held against it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.core.transport import Response
from schemathesis.engine import events, from_schema
from schemathesis.python import asgi
from sqlalchemy import make_url

from scholarships.config import Config
from tests.examples.scholarships.identities import KEYS, bearer
from tests.examples.scholarships.serving import made

FREE = {"search": "999999999/minute", "auth": "999999999/minute", "write": "999999999/minute"}
SEED = 5


def findings(app: Any, headers: dict[str, str], *, examples: int) -> tuple[list[str], int]:
    """Ask for everything that a service's document has; return what was wrong, and how many answers there were."""
    config = {
        "seed": SEED,
        "headers": headers,
        "generation": {"deterministic": True, "max-examples": examples, "database": "none", "no-shrink": True},
        # A router answers OPTIONS and 405 for the first of a path's routes alone: `Allow` has not all of its methods.
        "checks": {"allow_header_conformance": {"enabled": False}},
        "phases": {"stateful": {"enabled": False}},
    }
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, config=SchemathesisConfig.from_dict(config))
    wrong: list[str] = []
    answers = 0
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            answers += len(event.recorder.interactions)
            wrong += _failures(event)
        elif isinstance(event, events.FatalError):
            raise event.exception
        elif isinstance(event, events.NonFatalError):
            wrong.append(f"{event.label}: {event.value!r}")
    return wrong, answers


def _failures(event: events.ScenarioFinished) -> Iterator[str]:
    for case_id, checks in event.recorder.checks.items():
        exchange = event.recorder.interactions[case_id]
        sent, came = exchange.request, exchange.response
        for check in checks:
            if check.failure_info is not None and not _said_elsewhere(check.name, came):
                answer = f"{came.status_code} {came.content!r}" if came else "no answer"
                request = f"{sent.method} {sent.uri} {sent.body!r}"
                yield f"{event.phase.value}: {check.name}: {request}\n{answer}\n{check.failure_info.failure}"


def _said_elsewhere(check: str, answer: Response | None) -> bool:
    """Whether a request was refused for what a schema has no words for: two fields together, a place in a list."""
    if check != "positive_data_acceptance" or answer is None or answer.status_code != 422:
        return False
    return {detail["type"] for detail in answer.json()["details"]} <= {"range", "cursor"}


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A service over the samples, whose limits nobody reaches."""
    for name in Config.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    url = make_url(f"sqlite+aiosqlite:///{tmp_path / 'scholarships.db'}")
    with made(Config(database_url=url, rate_limits=FREE, demo_password="correct horse", **KEYS)) as app:
        try:
            yield app
        finally:
            asgi.shutdown_lifespans()


@pytest.mark.parametrize("role", [None, "student", "partner", "admin"])
def test_answers_are_those_of_the_document(service: Any, role: str | None) -> None:
    """Whoever asks for whatever gets no 500, and no answer that the document does not describe."""
    wrong, answers = findings(service, bearer(role) if role else {}, examples=10)
    assert answers > 100
    assert wrong == [], "\n\n".join(wrong)
