"""Scrapes that are refused: counted each, logged once a minute, and what was shown in place of the token nowhere."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi import FastAPI

from belvedere import failures
from belvedere.conventions import Event
from belvedere.metrics.gate import LOG_EVERY, Gate
from belvedere.settings import MetricSettings, Settings
from tests.drive import ask, observed, written
from tests.metrics.conftest import Clock, Observe
from tests.metrics.scraping import scrape

REFUSED = "belvedere_metrics_refused_total"
SHOWN = (b"authorization", b"Bearer s3cret")


class Log(list[tuple[str, dict[str, Any]]]):
    """A structlog logger that keeps what it is given."""

    def warning(self, event: str, **fields: Any) -> None:
        self.append((event, fields))


def asked(address: str | None, authorization: bytes = b"") -> dict[str, Any]:
    client = None if address is None else (address, 50_000)
    return {"client": client, "headers": [(b"authorization", authorization)] if authorization else []}


async def test_refusals_are_counted_by_reason(observe: Observe) -> None:
    """Both reasons begin at 0; the address is looked at first; a scrape that is answered counts nothing."""
    app = FastAPI()
    observe(app, metrics={"token": "s3cret", "allow": ["10.0.0.0/8"]})
    inside, outside = ("10.0.0.1", 1), ("192.0.2.1", 1)

    async def counts() -> dict[str, float]:
        answer = await ask(app, "GET", "/metrics", headers=[SHOWN], client=inside)
        lines = answer.body.decode().splitlines()
        return {line.split()[0]: float(line.split()[1]) for line in lines if line.startswith(REFUSED)}

    assert await counts() == {f'{REFUSED}{{reason="token"}}': 0.0, f'{REFUSED}{{reason="address"}}': 0.0}
    for client, headers in [(inside, []), (outside, [SHOWN]), (outside, [])]:
        await ask(app, "GET", "/metrics", headers=headers, client=client)
    assert await counts() == {f'{REFUSED}{{reason="token"}}': 1.0, f'{REFUSED}{{reason="address"}}': 2.0}


async def test_without_conditions_nothing_is_refused_or_shown(observe: Observe) -> None:
    """Everybody may read, and there is no series of refusals."""
    app = FastAPI()
    observe(app)
    assert (await scrape(app)).samples(REFUSED) == {}


def test_refusals_are_logged_once_a_minute(clock: Clock) -> None:
    """The first at once, and after each minute the next one with the number of those since the last line."""
    log = Log()
    gate = Gate(MetricSettings(token="s3cret", allow=["10.0.0.0/8"]), logger=log, clock=clock)
    for _ in range(3):
        assert gate.refuses(asked("192.0.2.1")) == "address"
    clock.seconds += LOG_EVERY - 0.1
    assert gate.refuses(asked("10.0.0.1", b"Bearer guess")) == "token"
    clock.seconds += 0.1
    assert gate.refuses(asked("10.0.0.2", b"Bearer guess")) == "token"
    assert gate.refuses(asked("10.0.0.2", b"bearer s3cret")) is None
    assert log == [
        (Event.METRICS_REFUSED, {"client": "192.0.2.1", "reason": "address", "refused": 1}),
        (Event.METRICS_REFUSED, {"client": "10.0.0.2", "reason": "token", "refused": 4}),
    ]
    assert gate.refused == {"address": 3, "token": 2}


@pytest.mark.parametrize(("client", "shown"), [("full", "203.0.113.77"), ("masked", "203.0.113.0"), (None, None)])
def test_the_address_is_shown_as_on_the_access_line(client: Any, shown: str | None) -> None:
    """The setting `logs.client` holds here too; behind a trusted proxy it is the scraper's address."""
    log = Log()
    proxies = Settings(requests={"trusted_proxies": ["10.0.0.0/8"]}).requests.trusted_proxies
    gate = Gate(MetricSettings(token="s3cret"), proxies, log, client=client)
    scope = {"client": ("10.1.1.1", 1), "headers": [(b"x-forwarded-for", b"203.0.113.77")]}
    assert gate.refuses(scope) == "token"
    assert log[0][1]["client"] == shown
    assert gate.refuses(asked(None)) == "token"


async def test_what_was_shown_is_in_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    """One warning, without any of what was given as token or of the token itself; nor is the scrape an access line."""
    app = FastAPI()
    with observed(app, metrics={"token": "the-real-one"}):
        for given in (b"Bearer guess-1", b"Basic Z3Vlc3M6Mg==", b"Bearer " + b"guess-3" * 10_000):
            answer = await ask(app, "GET", "/metrics", headers=[(b"authorization", given)])
            assert answer.status == 401
    (line,) = [line for line in written(capsys) if line["logger"] == "belvedere"]
    assert (line["level"], line["event"], line["client"], line["reason"], line["refused"]) == (
        "warning",
        "metrics_refused",
        "127.0.0.1",
        "token",
        1,
    )
    text = json.dumps(line)
    assert not any(part in text for part in ("guess", "Z3Vl", "the-real"))


def test_a_logger_that_fails_changes_no_answer() -> None:
    """It is counted as a failure of ours."""

    class Broken:
        def warning(self, event: str, **fields: Any) -> None:
            raise OSError

    gate = Gate(MetricSettings(token="s3cret"), logger=Broken())
    assert gate.refuses(asked("10.0.0.1")) == "token"
    assert failures.counts["metrics"] == 1
