"""A metric over all workers: its series with their totals, and its text, of which all but the numbers is made once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from belvedere.metrics.families import braces, help_text, label_text, number
from belvedere.metrics.naming import legal_label, legal_metric
from belvedere.metrics.workers.records import COUNT, SUM, VALUE, FamilyKey

ExemplarNow = tuple[dict[str, str], float, float]


class MergedSeries:
    """One label set over all workers.

    `totals` has the place of the total of each role; `choices` the cell of the time by worker and cell, where one
    worker's value is chosen.
    """

    __slots__ = ("buckets", "choices", "heads", "sources", "text", "totals", "values")

    def __init__(self, labels: Sequence[str], values: tuple[str, ...]) -> None:
        self.values = values
        self.text = label_text(list(zip(map(legal_label, labels), values, strict=True)))
        self.totals: dict[str, int] = {}
        self.choices: dict[tuple[str, int], int | None] = {}
        self.buckets: list[int] = []
        self.heads: dict[str, list[str]] = {}
        self.sources = 0

    def add(self, role: str, total: int) -> None:
        """Have a total for a role; what is written of the series is made anew."""
        self.totals[role] = total
        self.heads.clear()

    def histogram_heads(self, name: str) -> list[str]:
        """Return what stands before the number of each bucket, of the count and of the sum; `buckets` are in order.

        Made when it is first written: while its keys are read, a bucket comes after the other.
        """
        bounds = sorted(self.totals.keys() - {VALUE, SUM, COUNT}, key=float)
        self.buckets = [self.totals[bound] for bound in bounds]
        comma = "," if self.text else ""
        labels = braces(self.text)
        buckets = [f'{name}_bucket{{{self.text}{comma}le="{bound}"}} ' for bound in bounds]
        return [*buckets, f"{name}_count{labels} ", f"{name}_sum{labels} "]


class MergedFamily:
    """A family over all workers: what `belvedere.metrics.families.Family` is for one."""

    def __init__(self, key: FamilyKey) -> None:
        self.names = tuple(map(legal_metric, key.names))
        self.kind = key.kind
        self.owner = key.owner
        self.base_names = [name.removesuffix("_total") if key.kind == "counter" else name for name in self.names]
        self.served_as = [name.removesuffix("_total") if key.kind == "counter" else name for name in key.names]
        self.living = 0
        """Series of workers that live."""
        self.series: dict[tuple[str, ...], MergedSeries] = {}
        self._combine = key.combine
        self._documentation = key.documentation
        self._labels = (*key.labels, "pid") if key.combine == "each" else key.labels
        self._totals: Sequence[float] = ()
        self._values: Mapping[str, Sequence[float]] = {}
        self._exemplars: Mapping[int, ExemplarNow] = {}

    def get(self, values: tuple[str, ...]) -> MergedSeries:
        """Return the series of a label set, made at the first call."""
        series = self.series.get(values)
        if series is None:
            series = self.series[values] = MergedSeries(self._labels, values)
        return series

    def remove(self, series: MergedSeries) -> None:
        """Forget a series that no worker has any more."""
        del self.series[series.values]

    def now(
        self, totals: Sequence[float], values: Mapping[str, Sequence[float]], exemplars: Mapping[int, ExemplarNow]
    ) -> None:
        """Show these totals, values of each worker and exemplars from now on."""
        self._totals, self._values, self._exemplars = totals, values, exemplars

    def totals(self) -> dict[tuple[str, ...], float]:
        """Return the value of each series of a counter, by its labels."""
        return {values: self._total(series, VALUE) for values, series in list(self.series.items())}

    def lines(self, *, openmetrics: bool) -> Iterator[str]:
        """Yield the family in Prometheus text format, or in OpenMetrics with exemplars, a series at a time."""
        series_lines = {"histogram": self._histogram, "summary": self._summary}.get(self.kind, self._single)
        for name, base in zip(self.names, self.base_names, strict=True):
            shown = base if openmetrics else name
            documentation = help_text(self._documentation, openmetrics=openmetrics)
            yield f"# HELP {shown} {documentation}\n# TYPE {shown} {self.kind}\n"
            for series in list(self.series.values()):
                yield series_lines(name, series, openmetrics)

    def _single(self, name: str, series: MergedSeries, openmetrics: bool) -> str:
        if series.choices:
            return f"{name}{braces(series.text)} {number(self._chosen(series))}\n"
        total = series.totals[VALUE]
        heads = series.heads.get(name) or series.heads.setdefault(name, [f"{name}{braces(series.text)} "])
        return f"{heads[0]}{number(self._totals[total])}{self._exemplar(total) if openmetrics else ''}\n"

    def _summary(self, name: str, series: MergedSeries, _: bool) -> str:
        labels = braces(series.text)
        count, total = (self._total(series, role) for role in (COUNT, SUM))
        return f"{name}_count{labels} {number(count)}\n{name}_sum{labels} {number(total)}\n"

    def _histogram(self, name: str, series: MergedSeries, openmetrics: bool) -> str:
        heads = series.heads.get(name) or series.heads.setdefault(name, series.histogram_heads(name))
        totals, exemplars = self._totals, self._exemplars if openmetrics else {}
        total, count = 0.0, "0.0"
        out = []
        for head, at in zip(heads, series.buckets, strict=False):
            if totals[at]:
                total += totals[at]
                count = number(total)
            out.append(f"{head}{count}{self._exemplar(at) if at in exemplars else ''}\n")
        out.append(f"{heads[-2]}{count}\n{heads[-1]}{number(self._total(series, SUM))}\n")
        return "".join(out)

    def _total(self, series: MergedSeries, role: str) -> float:
        at = series.totals.get(role)
        # A worker may have been killed between two of its values.
        return 0.0 if at is None else self._totals[at]

    def _chosen(self, series: MergedSeries) -> float:
        """Return the value of one worker: of those that have set it, the greatest, the least or the last."""
        candidates = []
        for (name, cell), stamp in series.choices.items():
            values = self._values[name]
            if cell < len(values) and (stamp is None or values[stamp]):
                candidates.append((values[cell], 0.0 if stamp is None else values[stamp]))
        if not candidates:
            return 0.0
        if self._combine == "latest":
            return max(candidates, key=lambda candidate: candidate[1])[0]
        return (max if self._combine == "max" else min)(value for value, _ in candidates)

    def _exemplar(self, total: int) -> str:
        found = self._exemplars.get(total)
        if found is None:
            return ""
        labels, value, at = found
        return f" # {{{label_text(sorted(labels.items()))}}} {number(value)} {at:.3f}"
