"""Names that readers take: which may be declared, which a metric uses up, and how others are written."""

from __future__ import annotations

import re
from functools import lru_cache

_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_SUFFIXES = {
    "counter": ("_total",),
    "summary": ("_count", "_sum"),
    "histogram": ("_bucket", "_count", "_sum"),
    "gaugehistogram": ("_bucket", "_gcount", "_gsum"),
    "info": ("_info",),
}


def check_names(metric: str, labels: tuple[str, ...]) -> None:
    """Refuse names that not every reader takes.

    Raises:
        ValueError: saying which name, and what it should be made of.
    """
    if not _METRIC.fullmatch(metric):
        raise ValueError(f"{metric!r} is no metric name: use letters, digits, _ and :, and no leading digit")
    for label in labels:
        if not _LABEL.fullmatch(label) or label.startswith("__") or label == "le":
            raise ValueError(
                f"{metric}: {label!r} is no label name: use letters, digits and _, no leading digit or __, not le"
            )
    if len(set(labels)) != len(labels):
        raise ValueError(f"{metric}: a label is named twice among {', '.join(labels)}")


def used_names(base: str, kind: str) -> list[str]:
    """Return what a metric is called: its name without a counter's `_total`, and those of its samples."""
    return [base, *(f"{base}{suffix}" for suffix in _SUFFIXES.get(kind, ()))]


@lru_cache(4096)
def legal_metric(name: str) -> str:
    """Return a metric's name with `_` for what not every reader takes: prometheus-client allows all of Unicode."""
    return name if _METRIC.fullmatch(name) else re.sub(r"^[^a-zA-Z_:]|[^a-zA-Z0-9_:]", "_", name) or "_"


@lru_cache(4096)
def legal_label(name: str) -> str:
    """Return a label's name alike."""
    return name if _LABEL.fullmatch(name) else re.sub(r"^[^a-zA-Z_]|[^a-zA-Z0-9_]", "_", name) or "_"
