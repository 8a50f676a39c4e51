"""Models: which are loaded, and what is counted, timed and traced of their predictions and caches."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Generator
from contextlib import suppress
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI

from belvedere import integrations
from tests.drive import ask, samples
from tests.integrations.conftest import Lines, Observe
from tests.tracing.conftest import Kept


async def predictions(app: FastAPI) -> dict[tuple[str, str], float]:
    """Scrape; return how many predictions there were, by model and status, those of none left out."""
    found = await samples(app, "ml_predictions_total")
    return {(text.split('"')[1], text.split('"')[3]): count for text, count in found.items() if count}


async def by_model(app: FastAPI, name: str) -> dict[str, float]:
    return {text.split('"')[1]: value for text, value in (await samples(app, name)).items()}


async def test_check(observe: Observe, lines: Lines) -> None:
    """It tells what is loaded, and which models are not; the mapping is looked at each time."""
    models: dict[str, Any] = {}
    app = FastAPI()
    observe(app, integrations.ml(models))

    async def told() -> Any:
        found = (await ask(app, path="/detailed")).json()["checks"]["ml_models"]
        assert found.pop("latency_ms") >= 0
        return found

    assert await told() == {"status": "unhealthy", "error": "No model is loaded"}
    models |= {"thumbnails": len, "moderation": None, "tags": None}
    assert await told() == {"status": "unhealthy", "error": "Models not loaded: moderation, tags"}
    models |= {"moderation": object(), "tags": 0}
    expected = {"status": "healthy", "loaded_models": ["moderation", "tags", "thumbnails"], "model_count": 3}
    assert await told() == expected
    assert (await ask(app, path="/readyz")).json()["checks"] == {}


async def test_functions(observe: Observe) -> None:
    """Sync and async functions and generators, methods and objects that are called: each call is one prediction, with
    its status; what it returns, raises and takes passes through."""
    app = FastAPI()
    ml = integrations.ml({"m": len})

    class Model:
        """Predicts."""

        @ml.track("method")
        def predict(self, text: str) -> tuple[Model, str]:
            """Return itself."""
            return self, text

        @ml.track("static")
        @staticmethod
        def static(text: str) -> str:
            return text

        @ml.track("class")
        @classmethod
        async def of_class(cls, text: str) -> tuple[type, str]:
            return cls, text

        async def __call__(self, text: str) -> str:
            return text

    @ml.track("async")
    async def predict(text: str) -> str:
        return str(int(text))

    model = Model()
    assert model.predict("before") == (model, "before")
    obs = observe(app, ml)
    assert model.predict(text="x") == (model, "x")
    assert Model.predict.__doc__ == "Return itself."
    assert Model.static("x") == "x"
    assert await Model.of_class("x") == (Model, "x")
    assert await ml.track("object")(model)("x") == "x"
    assert inspect.iscoroutinefunction(predict)
    assert await predict("1") == "1"
    with pytest.raises(ValueError, match="invalid literal"):
        await predict("x")
    assert ml.track("cached")(lru_cache(len))("xx") == 2
    assert await predictions(app) == {
        ("method", "success"): 1,
        ("static", "success"): 1,
        ("class", "success"): 1,
        ("object", "success"): 1,
        ("async", "success"): 1,
        ("async", "error"): 1,
        ("cached", "success"): 1,
    }
    assert (await by_model(app, "ml_prediction_duration_seconds_count"))["async"] == 2
    obs.remove()
    assert await predict("1") == "1"


async def test_generators(observe: Observe) -> None:
    """A generator is one prediction, from its first item to its last; what is sent and thrown into it arrives."""
    app = FastAPI()
    ml = integrations.ml({"m": len})
    observe(app, ml)

    @ml.track("sync")
    def items(count: int) -> Generator[int, None, None]:
        yield from range(count)

    @ml.track("async")
    async def items_async() -> AsyncIterator[Any]:
        sent = yield 1
        try:
            yield sent
        except ValueError:
            yield "caught"
        raise KeyError

    assert list(items(3)) == [0, 1, 2]
    given_up = items(3)
    next(given_up)
    given_up.close()
    items(3)
    source: Any = items_async()
    assert await anext(source) == 1
    assert await source.asend(2) == 2
    assert await source.athrow(ValueError()) == "caught"
    with pytest.raises(KeyError):
        await anext(source)
    early: Any = items_async()
    await anext(early)
    await early.aclose()
    assert await predictions(app) == {
        ("sync", "success"): 1,
        ("sync", "cancelled"): 1,
        ("async", "error"): 1,
        ("async", "cancelled"): 1,
    }


async def test_cancelled(observe: Observe) -> None:
    """A prediction whose task is cancelled is counted as that, and timed until then."""
    app = FastAPI()
    ml = integrations.ml({"m": len})
    observe(app, ml)
    begun = asyncio.Event()

    @ml.track("m")
    async def predict() -> None:
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(predict())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await predictions(app) == {("m", "cancelled"): 1}
    assert await by_model(app, "ml_prediction_duration_seconds_count") == {"m": 1}


async def test_cache_hit_rate(observe: Observe) -> None:
    """Hits and misses of decorated look-ups, and those told by hand, make a rate; none is shown where none was."""
    app = FastAPI()
    ml = integrations.ml({"m": len})
    known = {"a": 0}

    @ml.lookup("moderation")
    async def look_up(key: str) -> int | None:
        return known.get(key)

    tags = ml.cache("tags")
    assert await look_up("b") is None
    observe(app, ml)
    assert await by_model(app, "ml_cache_hit_rate") == {}
    assert [await look_up(key) for key in "aab"] == [0, 0, None]
    assert ml.lookup("moderation")(known.get)("a") == 0
    tags.miss()
    assert tags("found") == "found"
    assert ml.cache("tags") is tags
    tags.hit()
    assert await by_model(app, "ml_cache_hit_rate") == {"moderation": 3 / 4, "tags": 2 / 3}
    assert await by_model(app, "ml_cache_hits_total") == {"moderation": 3, "tags": 2}
    assert await by_model(app, "ml_cache_misses_total") == {"moderation": 1, "tags": 1}


async def test_a_function_with_a_cache(observe: Observe) -> None:
    """What `lru_cache` has had already counts as a hit, from the installation on, though it is cleared or raises."""
    app = FastAPI()
    ml = integrations.ml({"m": len})
    predict: Any = ml.track("m")(lru_cache(int))
    predict("1")
    predict("1")
    obs = observe(app, ml)
    for text in ("1", "2", "2", "x"):
        with suppress(ValueError):
            predict(text)
    predict.cache_clear()
    predict("1")
    assert predict.cache_info().misses == 1
    assert await by_model(app, "ml_cache_hits_total") == {"m": 2}
    assert await by_model(app, "ml_cache_misses_total") == {"m": 3}
    assert await predictions(app) == {("m", "success"): 4, ("m", "error"): 1}

    class Cached:
        """As those of async functions are."""

        def cache_info(self) -> Any:
            return SimpleNamespace(hits=self.calls, misses=0)

        async def __call__(self) -> int:
            self.calls += 1
            return self.calls

        calls = 0

    assert await ml.track("async")(Cached())() == 1
    assert (await by_model(app, "ml_cache_hit_rate"))["async"] == 1
    obs.remove()
    predict("1")


async def test_spans(observe: Observe, kept: Kept) -> None:
    """Each prediction is a span below the request's, and what a function does meanwhile is below that."""
    app = FastAPI()
    ml = integrations.ml({"m": len})

    @ml.track("inner")
    def inner() -> None:
        raise KeyError("secret-value")

    @ml.track("outer")
    async def outer() -> None:
        with pytest.raises(KeyError):
            inner()

    @ml.track("items")
    async def items() -> AsyncIterator[int]:
        yield 1
        inner_span.append(kept.provider.get_tracer("test").start_span("between"))
        inner_span[-1].end()

    inner_span: list[Any] = []

    @app.get("/predict")
    async def endpoint() -> None:
        await outer()
        assert [item async for item in items()] == [1]

    observe(app, ml, tracing={"provider": kept.provider})
    await ask(app, path="/predict")
    spans = {name: kept.one(name) for name in ("GET /predict", "predict outer", "predict inner", "predict items")}
    spans["between"] = kept.one("between")

    def parent(name: str) -> int | None:
        above = spans[name].parent
        return None if above is None else above.span_id

    def own(name: str) -> int:
        context = spans[name].context
        assert context is not None
        span_id: int = context.span_id
        return span_id

    assert parent("predict outer") == own("GET /predict")
    assert parent("predict inner") == own("predict outer")
    assert parent("predict items") == own("GET /predict")
    assert parent("between") == own("GET /predict")
    assert dict(spans["predict outer"].attributes or {}) == {"belvedere.model": "outer"}
    assert (spans["predict inner"].attributes or {})["error.type"] == "KeyError"
    assert "secret" not in spans["predict inner"].to_json()


def test_no_mapping() -> None:
    with pytest.raises(TypeError, match=r"integrations\.ml: models are a mapping of names to models, not list"):
        integrations.ml(["moderation"])  # type: ignore[arg-type]
