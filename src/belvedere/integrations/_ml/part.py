"""Models of machine learning: which are loaded, how many predictions, how long each, and what caches had already."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from belvedere import failures
from belvedere.conventions import ML_HIT_RATE, ML_HITS, ML_MISSES
from belvedere.integrations._ml.predictions import FEATURE, Predictions, watched
from belvedere.integrations.caches import Cache
from belvedere.parts import Check, Host, Probe

F = TypeVar("F", bound=Callable[..., Any])


class NotLoadedError(Exception):
    """Models are missing; says which."""


def ml(
    models: Mapping[str, Any],
    *,
    name: str = "ml_models",
    critical: bool = False,
    probes: Iterable[Probe] = ("detailed",),
    timeout: float | None = None,
) -> ML:
    """Return a part that watches models, and what decorates their predictions.

        models = {"moderation": None}   # loaded later
        ml = integrations.ml(models)
        belvedere.observe(app, ml)

        @ml.track("moderation")
        async def moderate(text): ...

    Args:
        models: each by its name, a callable or any object; `None` as long as it is not loaded. It is looked at by each
            check, so it may be filled later.
        name: of the check; two mappings need two.
        critical: whether the check's failure takes the instance out of traffic.
        probes: where the check counts.
        timeout: seconds until the check has failed; by default `health.timeout`.

    Raises:
        TypeError: it is no mapping.
    """
    if not isinstance(models, Mapping):
        raise TypeError(f"integrations.ml: models are a mapping of names to models, not {type(models).__name__}")
    return ML(models, name, {"critical": critical, "probes": probes, "timeout": timeout})


class ML:
    """What `ml` returns."""

    def __init__(self, models: Mapping[str, Any], name: str, options: dict[str, Any]) -> None:
        self.feature = name
        self._models = models
        self._check = Check(name, self._loaded, **options)
        self._message = self._check.message
        self._caches: dict[str, Cache] = {}
        self._counters: tuple[Any, Any] | None = None
        self._predictions: Predictions | None = None

    @property
    def why(self) -> str:
        """What the report says."""
        return f"{len(self._models)} model{'' if len(self._models) == 1 else 's'}"

    def track(self, model: str) -> Callable[[F], F]:
        """Count, time and trace each call of a function that predicts: sync or async, a generator or a method.

        It does so while the part is installed. Exceptions pass through. Of a function that `functools.lru_cache` has
        decorated, or what has a `cache_info()` like it, the cache's hits and misses count as well.

        Args:
            model: its name, which is a label.
        """

        def decorate(function: Any) -> Any:
            made = watched(lambda: self._predictions, model, function)
            return _following(function, self.cache(model), made) if hasattr(function, "cache_info") else made

        return decorate

    def lookup(self, model: str) -> Callable[[F], F]:
        """Count each call of a function that looks into a cache, sync or async: a hit, or a miss if it returns `None`.

        Args:
            model: whose cache it is; a label.
        """
        cache = self.cache(model)

        def decorate(function: Any) -> Any:
            @functools.wraps(function)
            async def look_async(*args: Any, **kwargs: Any) -> Any:
                return cache(await function(*args, **kwargs))

            @functools.wraps(function)
            def look(*args: Any, **kwargs: Any) -> Any:
                return cache(function(*args, **kwargs))

            return look_async if inspect.iscoroutinefunction(function) else look

        return decorate

    def cache(self, model: str) -> Cache:
        """Return what counts hits and misses of a model's cache by hand, while the part is installed."""
        if model not in self._caches:
            self._caches[model] = Cache()
            self._connect(model)
        return self._caches[model]

    def install(self, host: Host) -> None:
        """Check, count and time from now on."""
        if self._predictions is not None:
            raise ValueError("this part is installed already: make one for each application")
        hits, misses = (
            host.metric("counter", metric.name, metric.help, metric.labels) for metric in (ML_HITS, ML_MISSES)
        )
        host.ratio(ML_HIT_RATE.name, ML_HIT_RATE.help, ML_HIT_RATE.labels, ML_HITS.name, ML_MISSES.name)
        predictions = Predictions(host)
        # What may be refused comes first: then there is nothing to take back.
        host.check(self._check)
        self._counters, self._predictions = (hits, misses), predictions
        for model in self._caches:
            self._connect(model)

    def uninstall(self) -> None:
        """Let decorated functions be as they were."""
        self._counters = self._predictions = None
        for model in self._caches:
            self._connect(model)

    async def _loaded(self) -> dict[str, Any]:
        models = dict(self._models)
        missing = sorted(name for name, model in models.items() if model is None)
        if missing or not models:
            said = f"Models not loaded: {', '.join(missing)}" if missing else "No model is loaded"
            self._check.message = said
            raise NotLoadedError(said)
        self._check.message = self._message
        return {"loaded_models": sorted(models), "model_count": len(models)}

    def _connect(self, model: str) -> None:
        if self._counters is None:
            self._caches[model].count_in(None, None)
        else:
            self._caches[model].count_in(*(counter.labels(model) for counter in self._counters))


def _following(cached: Any, cache: Cache, call: Any) -> Any:
    """Return what is called instead of `call`, counts what the cache of a function had, and gives access to that."""
    note = cache.follow(cached.cache_info)

    def noted() -> None:
        try:
            note()
        except Exception as error:
            failures.contain(FEATURE, error)

    @functools.wraps(call)
    async def call_async(*args: Any, **kwargs: Any) -> Any:
        try:
            return await call(*args, **kwargs)
        finally:
            noted()

    @functools.wraps(call)
    def call_here(*args: Any, **kwargs: Any) -> Any:
        try:
            return call(*args, **kwargs)
        finally:
            noted()

    made: Any = call_async if inspect.iscoroutinefunction(call) else call_here
    for name in ("cache_info", "cache_clear", "cache_parameters"):
        if hasattr(cached, name):
            setattr(made, name, getattr(cached, name))
    return made
