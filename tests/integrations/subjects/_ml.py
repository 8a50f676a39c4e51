"""Models of machine learning, which need no library."""

from __future__ import annotations

from typing import Any

import pytest

from belvedere import conventions, integrations
from tests.integrations.subjects.subject import READY, Relays, Subject


async def ml(request: pytest.FixtureRequest, relays: Relays) -> Subject:
    parts: list[Any] = []

    def part(**options: Any) -> Any:
        parts.append(integrations.ml({"moderation": len}, **{**READY, **options}))
        return parts[-1]

    async def use() -> None:
        for one in parts:
            one.track("moderation")(len)("text")
            one.lookup("moderation")(len)("text")

    async def close() -> None:
        parts.clear()

    return Subject(
        extra="",
        module="",
        part=part,
        use=use,
        close=close,
        metrics=conventions.ML_METRICS,
        hooks=lambda: [one._predictions for one in parts if one._predictions is not None],
        shared=False,
        details={"loaded_models", "model_count"},
    )
