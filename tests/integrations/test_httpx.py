"""httpx: where ids go and where they do not, how long others take, spans, and giving everything back."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from opentelemetry.instrumentation.utils import suppress_instrumentation

import belvedere
from belvedere import integrations
from belvedere.integrations._httpx.part import SEND
from belvedere.integrations._httpx.requests import HOSTS
from tests.drive import ask, samples
from tests.integrations.conftest import Observe
from tests.tracing.conftest import Kept, hexes

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
SECRET = "s3cr3t-w0rd"


class Others:
    """Other services: what they were asked, and what they answer."""

    def __init__(self) -> None:
        self.asked: list[httpx.Request] = []
        self.transport = httpx.MockTransport(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        # As it is now: a redirected request is made of the one before.
        self.asked.append(httpx.Request(request.method, request.url, headers=request.headers))
        if request.url.path == "/away":
            return httpx.Response(307, headers={"location": "http://elsewhere.example/there"})
        if request.url.path == "/down":
            raise httpx.ConnectError("refused", request=request)
        return httpx.Response(503 if request.url.path == "/503" else 200)

    def headers(self, name: str) -> list[str | None]:
        return [request.headers.get(name) for request in self.asked]


@pytest.fixture
def others() -> Others:
    return Others()


def asking(app: FastAPI, others: Others, *urls: str, **options: Any) -> None:
    """Give the application a route that asks for these, async and sync."""

    @app.get("/ask")
    async def endpoint() -> None:
        async with httpx.AsyncClient(transport=others.transport, follow_redirects=True) as client:
            for url in urls:
                await client.get(url, **options)

    @app.get("/ask-sync")
    def sync_endpoint() -> None:
        with httpx.Client(transport=others.transport, follow_redirects=True) as client:
            for url in urls:
                client.get(url, **options)


async def counted(app: FastAPI) -> dict[tuple[str, ...], float]:
    found = await samples(app, "http_client_request_duration_seconds_count")
    return {tuple(text.split('"')[1::2]): value for text, value in found.items()}


@pytest.mark.parametrize("path", ["/ask", "/ask-sync"])
async def test_ids_go_to_named_hosts(path: str, others: Others, observe: Observe) -> None:
    """Request id and trace context go to the hosts named, and to no other, a redirect included."""
    app = FastAPI()
    urls = ["http://api.example/", "http://a.internal/", "http://cache.example:8080/", "http://cache.example/"]
    asking(app, others, *urls, "http://api.example/away")
    observe(app, integrations.httpx(hosts=["API.example", "*.internal", "cache.example:8080"]))
    sent = [(b"traceparent", PARENT.encode()), (b"tracestate", b"a=b"), (b"baggage", b"c=d")]
    answer = await ask(app, path=path, headers=sent)
    told = [True, True, True, False, True, False]
    assert others.headers("x-request-id") == [answer.id if one else None for one in told]
    assert others.headers("traceparent") == [PARENT if one else None for one in told]
    assert others.headers("tracestate") == ["a=b" if one else None for one in told]
    assert others.headers("baggage") == ["c=d" if one else None for one in told]
    assert await counted(app) == {
        ("api.example", "GET", "200"): 1,
        ("*.internal", "GET", "200"): 1,
        ("cache.example:8080", "GET", "200"): 1,
        ("other", "GET", "200"): 2,
        ("api.example", "GET", "307"): 1,
    }


async def test_two_applications_with_hosts_of_their_own(others: Others, observe: Observe, kept: Kept) -> None:
    """Neither takes back what the other has given, and a request is one span, which the other service is told."""
    app = FastAPI()
    asking(app, others, "http://one.example/", "http://two.example/", "http://three.example/")
    observe(app, integrations.httpx(hosts=["one.example"]), tracing={"provider": kept.provider})
    observe(FastAPI(), integrations.httpx(hosts=["two.example"]), tracing={"provider": kept.provider})
    answer = await ask(app, path="/ask")
    assert others.headers("x-request-id") == [answer.id, answer.id, None]
    spans = [span for span in kept.spans if span.name == "GET"]
    assert len(spans) == 3
    assert len({header for header in others.headers("traceparent") if header}) == 2
    assert await counted(app) == {("one.example", "GET", "200"): 1, ("other", "GET", "200"): 2}


async def test_a_trace_context_of_the_applications_own(others: Others, observe: Observe) -> None:
    """Where it sends a `traceparent` itself, nothing that belongs to another one goes with it; the id does."""
    app = FastAPI()
    asking(app, others, "http://one.example/", headers={"Traceparent": PARENT})
    observe(app, integrations.httpx())
    came = f"00-{'a' * 32}-{'b' * 16}-01".encode()
    answer = await ask(app, path="/ask", headers=[(b"traceparent", came), (b"tracestate", b"a=b")])
    assert (others.headers("traceparent"), others.headers("tracestate")) == ([PARENT], [None])
    assert others.headers("x-request-id") == [answer.id]


async def test_suppressed_spans(others: Others, observe: Observe, kept: Kept) -> None:
    """Within `suppress_instrumentation()` a request is no span, and has its ids."""
    app = FastAPI()

    @app.get("/ask")
    async def endpoint() -> None:
        with suppress_instrumentation():
            async with httpx.AsyncClient(transport=others.transport) as client:
                await client.get("http://one.example/")

    observe(app, integrations.httpx(), tracing={"provider": kept.provider})
    await ask(app, path="/ask")
    (server,) = kept.spans
    trace_id, span_id = hexes(server)
    assert others.headers("traceparent") == [f"00-{trace_id}-{span_id}-{int(server.context.trace_flags):02x}"]


async def test_every_host_unless_named(others: Others, observe: Observe) -> None:
    """Without names ids go everywhere; what the application sets itself stays; without a request there is none."""
    app = FastAPI()
    asking(app, others, "http://one.example/", headers={"X-Request-ID": "mine"})
    observe(app, integrations.httpx())
    await ask(app, path="/ask")
    async with httpx.AsyncClient(transport=others.transport) as client:
        await client.get("http://two.example/")
        belvedere.set_request_id("job-7")
        await client.get("http://two.example/")
        belvedere.set_request_id(None)
    assert others.headers("x-request-id") == ["mine", None, "job-7"]
    assert others.headers("traceparent") == [None, None, None]


async def test_durations_are_bounded(others: Others, observe: Observe) -> None:
    """Any number of hosts and methods makes a bounded number of series; failures are counted as such."""
    app = FastAPI()
    observe(app, integrations.httpx())
    async with httpx.AsyncClient(transport=others.transport) as client:
        for number in range(HOSTS + 5):
            await client.request(f"M{number}", f"http://h{number}.example/")
        with pytest.raises(httpx.ConnectError):
            await client.get("http://h1.example/down")
    counts = await counted(app)
    assert len(counts) == HOSTS + 2
    assert counts["_overflow", "_OTHER", "200"] == 5
    assert counts["h1.example", "GET", "error"] == 1


async def test_spans(others: Others, observe: Observe, kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request is a span below the server span, which the other service is told; no secret is in it."""
    app = FastAPI()
    asking(app, others, f"http://user:{SECRET}@api.example/503?token={SECRET}")
    observe(app, integrations.httpx(), tracing={"provider": kept.provider})
    await ask(app, path="/ask")
    server, span = kept.one("GET /ask"), kept.one("GET")
    assert server.context is not None
    assert span.parent is not None
    assert span.parent.span_id == server.context.span_id
    trace_id, span_id = hexes(span)
    assert others.headers("traceparent") == [f"00-{trace_id}-{span_id}-{int(span.context.trace_flags):02x}"]
    assert dict(span.attributes or {}) == {
        "http.request.method": "GET",
        "url.full": "http://api.example/503",
        "server.address": "api.example",
        "server.port": 80,
        "http.response.status_code": 503,
        "error.type": "503",
    }
    module: Any = ModuleType("opentelemetry.instrumentation.httpx")
    module.HTTPXClientInstrumentor = lambda: type("On", (), {"is_instrumented_by_opentelemetry": True})
    monkeypatch.setitem(sys.modules, module.__name__, module)
    kept.exporter.clear()
    await ask(app, path="/ask")
    assert [one.name for one in kept.spans] == ["GET /ask"]


async def test_one_client_alone(others: Others, observe: Observe) -> None:
    """With a client given, others are left alone."""
    app = FastAPI()
    async with (
        httpx.AsyncClient(transport=others.transport) as watched,
        httpx.AsyncClient(transport=others.transport) as other,
    ):
        observe(app, integrations.httpx(client=watched))
        await watched.get("http://one.example/")
        await other.get("http://two.example/")
    assert await counted(app) == {("one.example", "GET", "200"): 1}


async def test_leaving_in_any_order(others: Others, observe: Observe) -> None:
    """Two applications in one process: the first may leave first, and httpx is as it was when both have left."""
    before = [vars(kind)[SEND] for kind in (httpx.Client, httpx.AsyncClient)]
    first_app, second_app = FastAPI(), FastAPI()
    first = observe(first_app, integrations.httpx())
    second = observe(second_app, integrations.httpx())
    first.remove()
    async with httpx.AsyncClient(transport=others.transport) as client:
        await client.get("http://one.example/")
    assert await counted(second_app) == {("one.example", "GET", "200"): 1}
    second.remove()
    assert [vars(kind)[SEND] for kind in (httpx.Client, httpx.AsyncClient)] == before


async def test_wrapped_by_somebody_else(others: Others, observe: Observe) -> None:
    """Where somebody has wrapped a client after us, what they did stays when we leave, and we count no more."""
    app = FastAPI()
    async with httpx.AsyncClient(transport=others.transport) as client:
        obs = observe(app, integrations.httpx(client=client))
        ours: Any = vars(client)[SEND]
        calls: list[httpx.URL] = []

        async def theirs(request: httpx.Request) -> Any:
            calls.append(request.url)
            return await ours(request)

        vars(client)[SEND] = theirs
        obs.remove()
        belvedere.set_request_id("job-7")
        await client.get("http://one.example/")
        belvedere.set_request_id(None)
        assert calls == [httpx.URL("http://one.example/")]
        assert others.headers("x-request-id") == [None]
        assert vars(client)[SEND] is theirs


async def test_a_part_that_comes_after_somebody_else(others: Others, observe: Observe) -> None:
    """Where somebody has wrapped a client after one part, another one works as well, and what they did stays."""
    first_app, second_app = FastAPI(), FastAPI()
    async with httpx.AsyncClient(transport=others.transport) as client:
        first = observe(first_app, integrations.httpx(client=client))
        ours: Any = vars(client)[SEND]

        async def theirs(request: httpx.Request) -> Any:
            return await ours(request)

        vars(client)[SEND] = theirs
        second = observe(second_app, integrations.httpx(client=client))
        await client.get("http://one.example/")
        assert await counted(first_app) == await counted(second_app) == {("one.example", "GET", "200"): 1}
        first.remove()
        await client.get("http://one.example/")
        assert await counted(second_app) == {("one.example", "GET", "200"): 2}
        second.remove()
        assert vars(client)[SEND] is theirs


def test_wrong_arguments() -> None:
    with pytest.raises(TypeError, match=r"integrations\.httpx: hosts are a list; write \['api\.example'\]"):
        integrations.httpx("api.example")
    with pytest.raises(ValueError, match=r"1 of hosts are no names; write 'api\.example', not its URL") as told:
        integrations.httpx(["api.example", f"https://user:{SECRET}@api.example"])
    assert SECRET not in str(told.value)
    with pytest.raises(TypeError, match=r"integrations\.httpx: str is no Client or AsyncClient of httpx"):
        integrations.httpx(client="client")  # type: ignore[arg-type]
