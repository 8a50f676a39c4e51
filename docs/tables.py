"""Writes the tables of settings and metrics into the documents beside it, from the code: `python -m docs.tables`.

A table stands between `<!-- table: NAME -->` and `<!-- end -->`. A test fails where one is not what this would write.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from belvedere import conventions
from belvedere.conventions import MetricName
from belvedere.settings import Group, Settings
from belvedere.settings.environment import DELIMITER, PREFIX

FOLDER = Path(__file__).parent
_TABLE = re.compile(r"(<!-- table: ([a-z.]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def tables() -> dict[str, str]:
    """Return every table by its name."""
    made = {"settings": _settings(Settings.model_fields, ())}
    for name, group in groups():
        made[f"settings.{name}"] = _settings(group.model_fields, (name,))
    made["metrics.http"] = _metrics(conventions.HTTP_METRICS)
    made["metrics.websocket"] = _metrics(conventions.WEBSOCKET_METRICS)
    made["metrics.limits"] = _metrics(conventions.RATE_LIMIT_METRICS)
    made["metrics.interactions"] = _metrics(conventions.INTERACTION_METRICS)
    made["metrics.database"] = _metrics(conventions.DATABASE_METRICS)
    made["metrics.redis"] = _metrics(conventions.REDIS_METRICS)
    made["metrics.client"] = _metrics(conventions.HTTP_CLIENT_METRICS)
    made["metrics.storage"] = _metrics(conventions.S3_METRICS)
    made["metrics.elasticsearch"] = _metrics(conventions.ELASTICSEARCH_METRICS)
    made["metrics.ml"] = _metrics(conventions.ML_METRICS)
    made["metrics.sentry"] = _metrics(conventions.SENTRY_METRICS)
    made["metrics.celery"] = _metrics(conventions.CELERY_METRICS)
    made["metrics.own"] = _metrics(conventions.OWN_METRICS)
    return made


def groups() -> Iterator[tuple[str, type[Group]]]:
    """Yield each feature's settings."""
    for name, field in Settings.model_fields.items():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, Group):
                yield name, kind


def written(text: str, made: Mapping[str, str]) -> str:
    """Return a document with its tables as they should be.

    Raises:
        KeyError: it has a table that nobody makes.
    """
    return _TABLE.sub(lambda found: f"{found[1]}{made[found[2]]}{found[3]}", text)


def _settings(fields: Mapping[str, FieldInfo], group: tuple[str, ...]) -> str:
    known = {name for name, _ in groups()}
    rows = [
        (
            f"`{'.'.join((*group, name))}`",
            f"`{PREFIX}{DELIMITER.join((*group, name)).upper()}`",
            _default(field.get_default(call_default_factory=True)),
            _meaning(field),
        )
        for name, field in fields.items()
        if group or name not in known
    ]
    return _table(("setting", "variable", "default", "meaning"), rows)


def _meaning(field: FieldInfo) -> str:
    text = " ".join((field.description or "").split())
    choices = [f"`{choice}`" for choice in _choices(field.annotation)]
    return text if all(choice in text for choice in choices) else f"{text} One of {', '.join(choices)}."


def _choices(annotation: Any) -> list[str]:
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [choice for part in get_args(annotation) for choice in _choices(part)]


def _default(value: Any) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        value = " ".join(f"{item:g}" for item in value)
    return "" if value in ("", {}) else f"`{value}`"


def _metrics(metrics: Iterable[MetricName]) -> str:
    rows = [
        (f"`{metric.name}`", metric.type, ", ".join(f"`{label}`" for label in metric.labels), metric.help)
        for metric in metrics
    ]
    return _table(("metric", "type", "labels", "meaning"), rows)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *(tuple(cell.replace("|", "\\|") for cell in row) for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    for document in FOLDER.glob("*.md"):
        before = document.read_text(encoding="utf-8")
        after = written(before, tables())
        if after != before:
            document.write_text(after, encoding="utf-8")
