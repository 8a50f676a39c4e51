"""Metrics as text: Prometheus' own format and OpenMetrics, and the choice between the two.

https://prometheus.io/docs/instrumenting/exposition_formats/ and https://prometheus.io/docs/specs/om/open_metrics_spec/
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Exemplar, Sample

from belvedere.metrics.families import Family, label_text, number

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_LINES_AT_ONCE = 200
"""Lines after which the rendering thread lets others run: about 0.2 ms, where Python by itself takes 5 to switch."""
_TEXT_TYPES = {"info": "gauge", "stateset": "gauge", "gaugehistogram": "histogram", "unknown": "untyped"}


def content_type(accept: str) -> str:
    """Return the format that a scraper asks for: OpenMetrics if it takes that at least as gladly as text."""
    quality = {"application/openmetrics-text": 0.0, "text/plain": 0.0, "*/*": 0.0}
    for part in accept.split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        if media in quality:
            quality[media] = max(quality[media], _quality(parameters))
    openmetrics = quality["application/openmetrics-text"]
    return OPENMETRICS if openmetrics and openmetrics >= quality["text/plain"] else TEXT


def _quality(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def render(families: Iterable[Family], collectors: Iterable[Any], *, openmetrics: bool) -> bytes:
    """Return all metrics as text: ours first, then those of `collectors` (registries), a name seen before left out.

    Meant to run in a thread: it lets others run every few hundred lines.
    """
    out: list[str] = []
    for count, line in enumerate(_lines(families, collectors, openmetrics=openmetrics), start=1):
        out.append(line)
        if count % _LINES_AT_ONCE == 0:
            time.sleep(0)
    return "".join(out).encode("utf-8")


def _lines(families: Iterable[Family], collectors: Iterable[Any], *, openmetrics: bool) -> Iterator[str]:
    seen: set[str] = set()
    for family in families:
        seen.update(family.base_names)
        yield from family.lines(openmetrics=openmetrics)
    for collector in collectors:
        for metric in collector.collect():
            if metric.name not in seen:
                seen.add(metric.name)
                yield from _metric(metric, openmetrics=openmetrics)
    if openmetrics:
        yield "# EOF\n"


def _metric(metric: Metric, *, openmetrics: bool) -> Iterator[str]:
    name, kind = metric.name, metric.type
    documentation = metric.documentation.replace("\\", "\\\\").replace("\n", "\\n")
    if openmetrics:
        documentation = documentation.replace('"', '\\"')
    else:
        name += {"counter": "_total", "info": "_info"}.get(kind, "")
        kind = _TEXT_TYPES.get(kind, kind)
    yield f"# HELP {name} {documentation}\n"
    yield f"# TYPE {name} {kind}\n"
    for sample in metric.samples:
        # When a counter was made is a series of its own in most readers, and doubles them.
        if not sample.name.endswith("_created") or sample.name == metric.name:
            yield _sample(sample, openmetrics=openmetrics)


def _sample(sample: Sample, *, openmetrics: bool) -> str:
    labels = label_text(list(sample.labels.items()))
    text = f"{sample.name}{{{labels}}} {number(float(sample.value))}" if labels else f"{sample.name} {number(float(sample.value))}"
    if sample.timestamp is not None:
        seconds = float(sample.timestamp)
        text += f" {seconds}" if openmetrics else f" {int(seconds * 1000)}"
    if openmetrics and sample.exemplar is not None:
        text += _exemplar(sample.exemplar)
    return f"{text}\n"


def _exemplar(exemplar: Exemplar) -> str:
    text = f" # {{{label_text(sorted(exemplar.labels.items()))}}} {number(float(exemplar.value))}"
    return text if exemplar.timestamp is None else f"{text} {exemplar.timestamp}"
