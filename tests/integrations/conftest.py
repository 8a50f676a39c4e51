"""Integrations in observed applications, on real servers behind a relay that can be cut or made to hang."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.request import urlopen

import elasticsearch
import pytest
from elasticsearch._async.client import _base as async_base
from elasticsearch._sync.client import _base as sync_base

import belvedere
from tests.backends.addresses import needed
from tests.celeryworker import SHOP, broker, working
from tests.conftest import or_skip
from tests.drive import observed
from tests.integrations.cluster import Cluster, answering
from tests.integrations.relay import Relay
from tests.process import fresh_process
from tests.processes.launch import wait_for
from tests.tracing.conftest import Lines, kept, lines

__all__ = ["Lines", "kept", "lines"]

Observe = Callable[..., belvedere.Observability]


@pytest.fixture(autouse=True)
def _own_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with fresh_process(monkeypatch):
        yield


@pytest.fixture(scope="session")
def celery_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real Redis on which a worker answers, without Belvedere."""
    folder = tmp_path_factory.mktemp("celery")
    options = ["--pool=solo", "--loglevel=info", "--without-mingle"]
    with (
        or_skip(),
        broker() as url,
        working(folder, *options, environment={"BROKER": url}, source=SHOP, served=False) as worker,
    ):
        wait_for(lambda: " ready." in worker.process.stderr, worker.process)
        yield url


@pytest.fixture
def observe() -> Iterator[Observe]:
    """Observes applications as `drive.observed` does, until the test ends; checks are run whenever asked.

    They have all the time that a busy machine may take, unless a test says otherwise.
    """

    def observing(app: Any, *parts: belvedere.Part, **settings: Any) -> belvedere.Observability:
        health = {"cache": 0, "interval": 0, "payload": "full", "detailed": "/detailed", "startup": "/startupz"}
        health["timeout"] = 30
        return stack.enter_context(observed(app, *parts, **{"health": health, **settings}))

    with ExitStack() as stack:
        yield observing


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Answers as Elasticsearch does, and as the test wants it."""
    with answering() as made:
        yield made


@pytest.fixture
def elasticsearch_url(monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a real Elasticsearch, 8 or later, without authentication; the client is made to speak its version."""
    (url,) = needed("ELASTICSEARCH_URL")
    with urlopen(url) as answer:  # noqa: S310
        major = int(json.load(answer)["version"]["number"].partition(".")[0])
    if major < elasticsearch.__version__[0]:
        # A newer client asks for answers of its own version, which an older server does not know.
        for module in (async_base, sync_base):
            older = module._COMPAT_MIMETYPE_SUB.replace(f"={elasticsearch.__version__[0]}", f"={major}")
            monkeypatch.setattr(module, "_COMPAT_MIMETYPE_SUB", older)
    return url


@pytest.fixture
async def relay() -> AsyncIterator[Callable[[str, int], Any]]:
    """Makes relays to servers, which are gone after the test."""
    made: list[Relay] = []

    async def make(host: str, port: int) -> Relay:
        made.append(Relay(host, port))
        await made[-1].up()
        return made[-1]

    yield make
    for one in made:
        await one.down()
