"""Parts: checks, objectives and other people's extensions, by one door; a wrong call says what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI

import belvedere
from belvedere import SLO, Check, Host
from belvedere.context import RequestContext
from tests.drive import ask, observed, running, samples, written
from tests.process import fresh_process


@pytest.fixture(autouse=True)
def _own_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with fresh_process(monkeypatch):
        yield


async def ping() -> None:
    """Succeed."""


class Extension:
    """Somebody's part: a metric, an observer, a check, a logger, and calls at start and stop."""

    name = "own"

    def __init__(self) -> None:
        self.told: list[str] = []

    def install(self, host: Host) -> None:
        self.host = host
        self.seen = host.metric("counter", "own_requests_seen_total", "Requests that were seen.", ["status"])
        host.check(Check("own", ping))
        host.observer(self)
        host.on_start(self.start)
        host.on_stop(self.stop)

    def uninstall(self) -> None:
        self.told.append("uninstalled")

    feature = "own"

    def begin(self, request: RequestContext) -> None:
        self.told.append(f"begin {request.path}")

    def finish(self, request: RequestContext) -> None:
        self.seen.labels(str(request.status)).inc()
        self.told.append(f"finish {request.endpoint} {request.status}")

    async def start(self) -> None:
        self.host.logger("own").info("own_started")

    async def stop(self) -> None:
        self.told.append("stopped")


async def test_an_extension_enters_by_the_same_door(capsys: pytest.CaptureFixture[str]) -> None:
    """A part's metric is served, its observer told, its check run, its calls made; `remove` uninstalls it."""
    app = FastAPI()
    part = Extension()
    with observed(app, part) as obs:
        async with running(app):
            await ask(app, path="/nothing")
            ready = await ask(app, path="/readyz")
        assert ready.json() == {"status": "ready", "checks": {"own": "ok"}}
        assert await samples(app, "own_requests") == {'own_requests_seen_total{status="404"}': 1.0} | {
            'own_requests_seen_total{status="200"}': 1.0
        }
        assert obs.report()["extension:own"] == {"state": "on", "why": "given to observe"}
        assert "own_requests_seen_total" in [metric["name"] for metric in obs.catalogue()["metrics"]]
        assert "own_started" in [line["event"] for line in written(capsys)]
    assert part.told[:2] == ["begin /nothing", "finish unmatched 404"]
    assert part.told[-1] == "uninstalled"
    assert "stopped" in part.told


def test_a_part_that_fails_to_leave_keeps_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    """What `uninstall` raises is logged as ours; the parts before it leave, and the application is as it was."""
    left: list[str] = []

    class Leaving:
        def __init__(self, name: str, error: Exception | None = None) -> None:
            self.name = name
            self.error = error

        def install(self, host: Host) -> None: ...

        def uninstall(self) -> None:
            left.append(self.name)
            if self.error is not None:
                raise self.error

    app = FastAPI()
    settings = belvedere.Settings(logs={"format": "json"})
    belvedere.observe(app, Leaving("first"), Leaving("second", OSError()), settings=settings).remove()
    assert left == ["second", "first"]
    assert not hasattr(app.state, "belvedere")
    assert "build_middleware_stack" not in vars(app)
    assert [(line["event"], line["feature"]) for line in written(capsys)] == [("internal_error", "parts")]


def test_an_observer_has_a_name_and_two_methods() -> None:
    """What lacks one of them is refused when it is installed: the pass could not contain its failures."""

    class Nameless:
        def begin(self, request: RequestContext) -> None: ...

        def finish(self, request: RequestContext) -> None: ...

        def install(self, host: Host) -> None:
            host.observer(self)  # type: ignore[arg-type]

        def uninstall(self) -> None: ...

    app = FastAPI()
    with pytest.raises(TypeError, match=r"Nameless.* is no observer: it needs feature \(a name\), begin"):
        belvedere.observe(app, Nameless())
    assert not hasattr(app.state, "belvedere")


async def test_an_observer_that_raises_is_kept_from_the_request(capsys: pytest.CaptureFixture[str]) -> None:
    """What a part's observer raises is counted under its feature, logged, and never the request's."""

    class Bad:
        feature = "bad_observer"

        def install(self, host: Host) -> None:
            host.observer(self)

        def uninstall(self) -> None: ...

        def begin(self, request: RequestContext) -> None:
            raise RuntimeError("begin")

        def finish(self, request: RequestContext) -> None:
            raise RuntimeError("finish")

    app = FastAPI()
    with observed(app, Bad()):
        before = await samples(app, "belvedere_internal_errors_total")
        answer = await ask(app, path="/docs")
        after = await samples(app, "belvedere_internal_errors_total")
    assert answer.status == 200
    label = 'belvedere_internal_errors_total{feature="bad_observer"}'
    assert after[label] - before.get(label, 0.0) == 4.0  # two of the request, two of the scrape before
    assert [line["feature"] for line in written(capsys) if line["event"] == "internal_error"] == ["bad_observer"]


async def test_a_part_added_later_works_like_the_others() -> None:
    """`add` installs a part in an application that already serves."""
    app = FastAPI()
    with observed(app) as obs:
        assert (await ask(app, path="/readyz")).json() == {"status": "ready", "checks": {}}
        obs.add(Check("late", ping))
        obs.add(SLO("search", objective=99.5, latency=0.3, routes=["POST /search"]))
        assert (await ask(app, path="/readyz")).json() == {"status": "ready", "checks": {"late": "ok"}}
        await ask(app, path="/docs")
        found = await samples(app, 'http_request_duration_seconds_bucket{method="GET",endpoint="/docs"')
        assert 'http_request_duration_seconds_bucket{method="GET",endpoint="/docs",le="0.3"}' in found
        catalogue = obs.catalogue()
    assert catalogue["slos"] == [{"name": "search", "objective": 99.5, "latency": 0.3, "routes": ["POST /search"]}]
    assert catalogue["checks"] == [{"name": "late", "critical": True, "timeout": 2.0, "probes": ["ready", "detailed"]}]


async def test_parts_of_features_that_are_off_do_nothing() -> None:
    """With everything off, parts are taken, do nothing, and break nothing."""
    app = FastAPI()
    part = Extension()
    off = dict.fromkeys(["logs", "metrics", "health", "problems", "headers", "tracing"])
    with observed(app, part, Check("c", ping), SLO("s", objective=99), **off) as obs:
        answer = await ask(app, path="/docs")
        probes = [(await ask(app, path=path)).status for path in ("/healthz", "/readyz", "/metrics")]
        assert (obs.ready, obs.catalogue()["metrics"], obs.catalogue()["probes"]) == (True, [], [])
        obs.ready = False
    assert answer.status == 200
    assert answer.headers[-1] == ("x-request-id", answer.id)
    assert probes == [404, 404, 404]
    assert part.told[0] == "begin /docs"


@pytest.mark.parametrize(
    ("call", "kind", "told"),
    [
        (lambda: Check("", ping), ValueError, "a check needs a name, such as Check('database', ping)"),
        (
            lambda: Check("db", "ping"),  # type: ignore[arg-type]
            TypeError,
            "check 'db': 'ping' cannot be called; give the function itself, sync or async",
        ),
        (
            lambda: Check("db", ping, probes=("live",)),  # type: ignore[arg-type]
            ValueError,
            "check 'db': no probe is called 'live'; there are ready, detailed and startup",
        ),
        (
            lambda: Check("db", ping, timeout=0),
            ValueError,
            "check 'db': a time-out is a number of seconds above 0, not 0",
        ),
        (lambda: SLO("", objective=99), ValueError, "an objective needs a name, such as SLO('search', objective=99.5)"),
        (
            lambda: SLO("s", objective=100),
            ValueError,
            "SLO 's': the objective is a percentage between 0 and 100, not 100",
        ),
        (
            lambda: SLO("s", objective=99, latency=-1),
            ValueError,
            "SLO 's': the latency is a number of seconds above 0, not -1",
        ),
        (
            lambda: SLO("s", objective=99, routes=["/search"]),
            ValueError,
            "SLO 's': a route is written like 'GET /items/{item_id}', not '/search'",
        ),
        (
            lambda: belvedere.counter("http_requests_total", "Mine."),
            ValueError,
            "http_requests_total is a metric of Belvedere's own; choose another name",
        ),
        (
            lambda: belvedere.counter("parts_x_total", "X.", "channel"),
            TypeError,
            "parts_x_total: labels are a list of names; write ['channel']",
        ),
        (
            lambda: belvedere.gauge("parts_g", "G.", combine="mean"),  # type: ignore[arg-type]
            ValueError,
            "parts_g: gauges combine by sum, max, min or latest, not 'mean'",
        ),
        (
            lambda: belvedere.observe(object()),
            TypeError,
            "observe takes a FastAPI, Starlette or Celery application, not object: call it on the app itself",
        ),
        (
            lambda: belvedere.observe(FastAPI(), FastAPI()),  # type: ignore[arg-type]
            TypeError,
            " is no part: a part has install(host) and uninstall(), as belvedere.Check, belvedere.SLO and the "
            "integrations have",
        ),
    ],
)
def test_a_wrong_call_says_what_to_do(call: Callable[[], Any], kind: type[Exception], told: str) -> None:
    """Every wrong call of the face raises at once, and its message tells how it should be."""
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value).endswith(told)


def test_a_metric_declared_twice_is_the_first() -> None:
    """The same words give the same metric; other labels, another type or other buckets raise and say so."""
    first = belvedere.histogram("parts_seconds", "Seconds.", ["kind"], buckets=[1, 2])
    assert belvedere.histogram("parts_seconds", "Seconds.", ["kind"], buckets=[1, 2]) is first
    with pytest.raises(ValueError, match=r"^parts_seconds is declared already with labels \('kind',\), now with \(\)"):
        belvedere.histogram("parts_seconds", "Seconds.", buckets=[1, 2])
    with pytest.raises(ValueError, match=r"^parts_seconds is declared already with kind 'histogram', now with 'gauge'"):
        belvedere.gauge("parts_seconds", "Seconds.", ["kind"])
    with pytest.raises(ValueError, match=r"with buckets \(1, 2\), now with \(1, 3\)"):
        belvedere.histogram("parts_seconds", "Seconds.", ["kind"], buckets=[1, 3])


async def test_a_part_that_fails_to_install_leaves_the_application_alone() -> None:
    """Where a part raises, `observe` raises the same and takes back what it had done."""

    class Fails:
        def install(self, host: Host) -> None:
            raise LookupError("no such thing")

        def uninstall(self) -> None:
            raise AssertionError

    app = FastAPI()
    before = dict(vars(app))
    with pytest.raises(LookupError, match="no such thing"):
        belvedere.observe(app, Check("first", ping), Fails())
    assert dict(vars(app)) == before
    assert not hasattr(app.state, "belvedere")
    assert (await ask(app, path="/docs")).all("x-request-id") == []


async def test_two_parts_of_one_name_are_one_too_many() -> None:
    """A second check or objective of the same name raises, and the first goes on."""
    app = FastAPI()
    with observed(app, Check("db", ping), SLO("s", objective=99)) as obs:
        with pytest.raises(ValueError, match="there is a check named 'db' already"):
            obs.add(Check("db", ping))
        with pytest.raises(ValueError, match="there is an SLO 's' already"):
            obs.add(SLO("s", objective=99))
        assert (await ask(app, path="/readyz")).json() == {"status": "ready", "checks": {"db": "ok"}}
