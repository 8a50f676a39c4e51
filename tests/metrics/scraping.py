"""Reads a scrape with prometheus-client's own parsers: what they refuse, Prometheus refuses."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.drive import Answer, ask

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
ASKS_OPENMETRICS = b"application/openmetrics-text;version=1.0.0"
BOTH = pytest.mark.parametrize("accept", [None, ASKS_OPENMETRICS], ids=["text", "openmetrics"])


def samples_of(families: Iterable[Any], names: Collection[str]) -> dict[str, float]:
    """Return the samples of these names, or all: `jobs_total{queue="a",state="b"}`, labels sorted, to value."""
    found: dict[str, float] = {}
    for family in families:
        for sample in family.samples:
            if not names or sample.name in names:
                labels = ",".join(f'{key}="{value}"' for key, value in sorted(sample.labels.items()))
                text = f"{sample.name}{{{labels}}}" if labels else sample.name
                assert text not in found, f"{text} is there twice"
                found[text] = sample.value
    return found


@dataclass
class Scrape:
    """What one scrape showed."""

    answer: Answer

    @property
    def text(self) -> str:
        return self.answer.body.decode()

    @property
    def is_openmetrics(self) -> bool:
        return self.answer.all("content-type") == [OPENMETRICS]

    @property
    def families(self) -> list[Any]:
        """The metrics, as the parser of their format reads them."""
        parse: Any = parse_openmetrics if self.is_openmetrics else parse_text
        return list(parse(self.text))

    def samples(self, *names: str) -> dict[str, float]:
        """Return the samples of these names, or all: `jobs_total{queue="a",state="b"}`, labels sorted, to value."""
        return samples_of(self.families, names)

    def types(self, prefix: str = "") -> dict[str, str]:
        """Return name to type as the TYPE lines say, of the metrics whose names begin with `prefix`."""
        found: dict[str, str] = {}
        for line in self.text.splitlines():
            if line.startswith(f"# TYPE {prefix}"):
                _, _, name, kind = line.split(" ")
                assert name not in found, f"{name} has two TYPE lines"
                found[name] = kind
        return found

    def labels(self) -> dict[str, list[str]]:
        """Return the name of each sample with its label names, sorted, without buckets' `le`."""
        found: dict[str, list[str]] = {}
        for family in self.families:
            for sample in family.samples:
                found[sample.name] = sorted(name for name in sample.labels if name != "le")
        return found


async def scrape(
    app: Any, *, path: str = "/metrics", accept: bytes | None = None, headers: Sequence[Any] = ()
) -> Scrape:
    """Scrape `app` once; it must answer 200."""
    wanted = [(b"accept", accept)] if accept is not None else []
    answer = await ask(app, "GET", path, headers=[*wanted, *headers])
    assert answer.status == 200, answer
    return Scrape(answer)
