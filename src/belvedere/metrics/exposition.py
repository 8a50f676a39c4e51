"""Metrics as text: Prometheus' own format and OpenMetrics, and the choice between the two.

https://prometheus.io/docs/instrumenting/exposition_formats/ and https://prometheus.io/docs/specs/om/open_metrics_spec/
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Exemplar, Sample

from belvedere import failures
from belvedere.asgi.negotiation import quality
from belvedere.metrics.families import label_text, number
from belvedere.metrics.naming import legal_label, legal_metric, used_names

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_SPOKEN = frozenset({"1.0.0", "0.0.1"})
_TEXT_AT_ONCE = 20_000
"""Characters after which the rendering thread lets others run: 0.2 ms, where Python by itself takes 5 to switch."""
_TEXT_TYPES = {"info": "gauge", "stateset": "gauge", "gaugehistogram": "histogram", "unknown": "untyped"}


def content_type(accept: str) -> str:
    """Return the format that a scraper asks for: OpenMetrics if it takes that at least as gladly as text."""
    weights = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for part in accept.lower().split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        if media in weights and not _other_openmetrics(media, parameters):
            weights[media] = max(weights[media], quality(parameters))
    openmetrics = weights["application/openmetrics-text"]
    return OPENMETRICS if openmetrics and openmetrics >= weights["text/plain"] else TEXT


def takes_gzip(accept_encoding: str) -> bool:
    """Return whether an `Accept-Encoding` header names gzip, and not with `q=0` (RFC 9110, section 12.5.3)."""
    for part in accept_encoding.lower().split(","):
        coding, *parameters = (piece.strip() for piece in part.split(";"))
        if coding == "gzip":
            return quality(parameters) > 0
    return False


def _other_openmetrics(media: str, parameters: Sequence[str]) -> bool:
    """Whether a version of OpenMetrics is asked for that we do not speak."""
    versions = [parameter.removeprefix("version=") for parameter in parameters if parameter.startswith("version=")]
    return media == "application/openmetrics-text" and any(version not in _SPOKEN for version in versions)


class Shown(Protocol):
    """A family that can be written: of this process, or of all workers."""

    @property
    def base_names(self) -> Sequence[str]: ...

    @property
    def kind(self) -> str: ...

    def lines(self, *, openmetrics: bool) -> Iterator[str]: ...


def render(families: Sequence[Shown], collectors: Iterable[Any], *, openmetrics: bool) -> bytes:
    """Return all metrics as text: ours first, then those of `collectors` (registries), a name seen before left out.

    Meant to run in a thread: it lets others run every now and then.
    """
    out: list[str] = []
    written = 0
    for text in _lines(families, collectors, openmetrics=openmetrics):
        out.append(text)
        written += len(text)
        if written > _TEXT_AT_ONCE:
            written = 0
            time.sleep(0)
    # A label value may hold half a surrogate pair, which UTF-8 has no bytes for.
    return "".join(out).encode("utf-8", "replace")


def hidden(families: Iterable[Shown], ours: Any, collectors: Iterable[Any]) -> list[str]:
    """Return the names of metrics in `collectors` that cannot be served: our families or registry have them."""
    taken = _names(families)
    for metric in collected(ours):
        taken.update(_used(metric))
    metrics = [metric for collector in collectors if collector is not ours for metric in collected(collector)]
    return sorted({metric.name for metric in metrics if not taken.isdisjoint(_used(metric))})


def collected(collector: Any) -> Iterator[Metric]:
    """Yield what a registry collects; where one of its collectors fails, the others', maybe a second time."""
    try:
        yield from collector.collect()
    except Exception as error:
        single = list(getattr(collector, "_collector_to_names", ()))
        if not single:
            failures.contain("metrics", error)
        for one in single:
            try:
                yield from one.collect()
            except Exception as own:
                failures.contain("metrics", own)


def _lines(families: Sequence[Shown], collectors: Iterable[Any], *, openmetrics: bool) -> Iterator[str]:
    taken = _names(families)
    for family in families:
        yield from family.lines(openmetrics=openmetrics)
    for collector in collectors:
        for metric in collected(collector):
            used = _used(metric)
            if taken.isdisjoint(used):
                taken.update(used)
                try:
                    yield from _metric(metric, openmetrics=openmetrics)
                except Exception as error:
                    # A custom collector may give anything as a value; what was written so far is whole lines.
                    failures.contain("metrics", error)
    if openmetrics:
        yield "# EOF\n"


def _names(families: Iterable[Shown]) -> set[str]:
    return {name for family in families for base in family.base_names for name in used_names(base, family.kind)}


def _used(metric: Metric) -> list[str]:
    return used_names(legal_metric(metric.name), metric.type)


def _metric(metric: Metric, *, openmetrics: bool) -> Iterator[str]:
    name, kind = legal_metric(metric.name), metric.type
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
    labels = _labels(sample.labels)
    text = f"{legal_metric(sample.name)}{f'{{{labels}}}' if labels else ''} {number(float(sample.value))}"
    if sample.timestamp is not None:
        seconds = float(sample.timestamp)
        text += f" {seconds}" if openmetrics else f" {int(seconds * 1000)}"
    if openmetrics and sample.exemplar is not None:
        text += _exemplar(sample.exemplar)
    return f"{text}\n"


def _exemplar(exemplar: Exemplar) -> str:
    text = f" # {{{_labels(dict(sorted(exemplar.labels.items())))}}} {number(float(exemplar.value))}"
    return text if exemplar.timestamp is None else f"{text} {exemplar.timestamp}"


def _labels(labels: Mapping[str, Any]) -> str:
    return label_text([(legal_label(name), str(value)) for name, value in labels.items()])
