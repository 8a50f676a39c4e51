"""Sentry's client in an application: run in a process of its own by `test_sentry.py`, as the SDK patches libraries for
good."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import celery  # type: ignore[import-untyped, unused-ignore]
import httpx
import pytest
import sentry_sdk
from fastapi import FastAPI, WebSocket
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

import belvedere
from belvedere import failures, integrations
from belvedere.integrations._sentry import events as saying
from belvedere.settings import Settings
from tests.drive import ask, running, samples
from tests.integrations.conftest import Observe

DSN = "http://k3y@127.0.0.1:9/7"
SECRET = "hunter2"
NEWER = int(sentry_sdk.VERSION.split(".")[0]) >= 3


class Kept(Transport):
    """Keeps what is sent."""

    events: list[dict[str, Any]] = []  # noqa: RUF012 - of the process, emptied for each test

    def capture_envelope(self, envelope: Envelope) -> None:
        for item in envelope.items:
            if item.type in {"event", "transaction"}:
                assert item.payload.json is not None
                self.events.append(item.payload.json)


@pytest.fixture(autouse=True)
def events() -> Iterator[list[dict[str, Any]]]:
    Kept.events.clear()
    yield Kept.events
    assert not sentry_sdk.is_initialized()


def part(**options: Any) -> Any:
    return integrations.sentry(**{"dsn": DSN, "transport": Kept, **options})


def shop() -> FastAPI:
    app = FastAPI(version="7.7")

    @app.get("/broken/{item}")
    async def broken(item: str) -> None:
        password = item
        belvedere.bind(user_id="u-7", organization_id="acme")
        raise RuntimeError(f"password={password}")

    @app.get("/fine")
    async def fine() -> None:
        logging.getLogger("shop").error("told")

    @app.websocket("/ws")
    async def ws(websocket: WebSocket) -> None:
        await websocket.accept()

    return app


async def test_what_init_is_called_with(observe: Observe) -> None:
    """Only what is named is on; nothing personal is sent; release and environment are the service's."""
    obs = observe(shop(), part(), environment="staging")
    client = sentry_sdk.get_client()
    options = client.options
    libraries = {"fastapi", "starlette", "celery", "sqlalchemy", "redis", "httpx"}
    assert client.integrations.keys() == libraries | {"dedupe", "excepthook", "threading", "atexit", "logging"}
    assert (options["release"], options["environment"]) == ("7.7", "staging")
    assert options["traces_sample_rate"] is options.get("profiles_sample_rate") is None
    assert options["attach_stacktrace"] is True
    assert not options.get("send_default_pii")
    assert obs.report()["sentry"] == {"state": "on", "why": "errors, to 127.0.0.1"}


async def test_rates_and_options(observe: Observe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments win over variables; options and integrations of the SDK are taken as they are given."""
    monkeypatch.setenv("SENTRY_TRACES_SAMPLE_RATE", "0.9")
    monkeypatch.setenv("SENTRY_PROFILES_SAMPLE_RATE", "0.2")
    monkeypatch.setenv("SENTRY_RELEASE", "r9")
    obs = observe(shop(), part(traces=0.1, integrations=["starlette"], server_name="web-1"))
    options = sentry_sdk.get_client().options
    rate = options["profile_session_sample_rate"] if NEWER else options["profiles_sample_rate"]
    assert (options["traces_sample_rate"], rate) == (0.1, 0.2)
    assert (options["server_name"], options["release"]) == ("web-1", "r9")
    assert "redis" not in sentry_sdk.get_client().integrations
    assert obs.report()["sentry"]["why"] == "errors, traces at 0.1, profiles at 0.2, to 127.0.0.1"


async def test_what_an_event_says(observe: Observe, events: list[dict[str, Any]]) -> None:
    """Ids, user, bound fields and template; a request's own transaction name and tags of the application's win."""
    app = shop()

    @app.get("/named")
    async def named() -> None:
        sentry_sdk.get_current_scope().set_transaction_name("mine", source="custom")
        sentry_sdk.set_tag("organization_id", "theirs")
        with belvedere.LogContext(organization_id="ours", operation="upload"):
            sentry_sdk.capture_message("by hand")

    observe(app, part())
    answer = await ask(app, path=f"/broken/{SECRET}", headers=[(b"cookie", b"session=hunter2")])
    await ask(app, path="/named")
    event, message = events
    ids = {"request_id": answer.id, "trace_id": answer.id.replace("-", "")}
    assert event["tags"] == {"user_id": "u-7", "organization_id": "acme", **ids}
    assert event["contexts"]["trace"]["trace_id"] == ids["trace_id"]
    assert event["transaction"] == "/broken/{item}"
    assert event["exception"]["values"][0]["value"] == "password=[redacted]"
    assert "vars" not in event["exception"]["values"][0]["stacktrace"]["frames"][-1]
    # sentry-sdk 2.14 itself forgets the name.
    assert message["transaction"] == ("/named" if sentry_sdk.VERSION.startswith("2.14.") else "mine")
    assert (message["tags"]["organization_id"], message["tags"]["operation"]) == ("theirs", "upload")


async def test_a_secret_in_the_path(observe: Observe, events: list[dict[str, Any]]) -> None:
    """The address that an event shows is without the parameters that are called like a secret."""
    app = FastAPI()

    @app.get("/reset/{token}")
    async def reset(token: str) -> None:
        raise RuntimeError("broken")

    observe(app, part())
    await ask(app, path="/reset/hunter2", query_string=b"page=2")
    (event,) = events
    assert (event["request"]["url"], event["transaction"]) == ("http://127.0.0.1/reset/[redacted]", "/reset/{token}")


async def test_jobs(observe: Observe, events: list[dict[str, Any]]) -> None:
    """Outside of requests an event has the job's id and bound fields, and nothing of a request that went before."""
    app = shop()
    observe(app, part())
    await ask(app, path="/broken/1")
    belvedere.set_request_id("job-1")
    with belvedere.LogContext(queue="mails"):
        sentry_sdk.capture_message("in a job")
    belvedere.set_request_id(None)
    sentry_sdk.capture_message("anywhere")
    assert [event.get("tags") for event in events[1:]] == [{"queue": "mails", "request_id": "job-1"}, {}]
    assert "transaction" not in events[2]


def test_errors_in_threads(events: list[dict[str, Any]]) -> None:
    """What no thread catches is one event."""
    app = shop()
    obs = belvedere.observe(app, part(), settings=Settings(logs=None))

    def fail() -> None:
        raise ArithmeticError

    thread = threading.Thread(target=fail)
    hook, threading.excepthook = threading.excepthook, lambda args: None
    thread.start()
    thread.join()
    threading.excepthook = hook
    obs.remove()
    assert [event["exception"]["values"][0]["type"] for event in events] == ["ArithmeticError"]


async def test_local_variables_where_asked_for(observe: Observe, events: list[dict[str, Any]]) -> None:
    """With the variables of frames on, they are redacted by name and by shape."""
    app = shop()
    asked: dict[str, Any] = {"include_local_variables": True}
    if NEWER:
        asked = {"data_collection": {"stack_frame_variables": True}}
    observe(app, part(**asked))
    await ask(app, path=f"/broken/{SECRET}")
    frame = events[0]["exception"]["values"][0]["stacktrace"]["frames"][-1]
    assert frame["vars"]["password"] in {"[redacted]", "[Filtered]"}
    assert "password=[redacted]" in frame["context_line"]


async def test_a_failure_of_ours(
    observe: Observe, events: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be redacted is left out, what cannot be told too: the event arrives, and the request is answered."""

    def fail(*_: Any) -> Any:
        raise LookupError("ours")

    app = shop()
    observe(app, part())
    monkeypatch.setattr(saying, "redacted", fail)
    assert (await ask(app, path=f"/broken/{SECRET}")).status == 500
    monkeypatch.setattr(saying, "_request", fail)
    assert (await ask(app, path=f"/broken/{SECRET}")).status == 500
    assert failures.counts.pop("sentry") == 3
    first, second = events
    assert SECRET not in repr(events)
    (thrown,) = first["exception"]["values"]
    assert (thrown["type"], thrown["value"]) == ("RuntimeError", "[redacted]")
    assert thrown["stacktrace"]["frames"][-1]["function"] == "broken"
    assert first["tags"].keys() == {"request_id", "trace_id"}
    assert second["exception"]["values"][0]["type"] == "RuntimeError"


async def test_hooks_of_the_application(observe: Observe, events: list[dict[str, Any]]) -> None:
    """A `before_send` sees our tags, may drop the event, and what it adds is redacted."""
    seen: list[str] = []

    def before_send(event: Any, hint: Any) -> Any:
        seen.append(event["tags"]["request_id"])
        event["extra"] = {"password": SECRET}
        return None if "dropped" in event["transaction"] else event

    app = shop()

    @app.get("/dropped")
    async def dropped() -> None:
        raise RuntimeError

    observe(app, part(before_send=before_send))
    answers = [await ask(app, path=path) for path in ("/broken/1", "/dropped")]
    assert seen == [answer.id for answer in answers]
    assert [event["extra"] for event in events] == [{"password": "[redacted]"}]


async def test_an_sdk_that_is_initialised_already(observe: Observe, events: list[dict[str, Any]]) -> None:
    """The application's own client stays, with our tags and redaction, also after removal, without them."""
    kept: list[Any] = []

    def before_send(event: Any, hint: Any) -> Any:
        kept.append(event)
        return event

    sentry_sdk.init(dsn=DSN, transport=Kept, before_send=before_send, release="theirs")
    client = sentry_sdk.get_client()
    app = shop()
    obs = observe(app, integrations.sentry())
    assert sentry_sdk.get_client() is client
    why = "by the application's own sentry_sdk.init, with our tags and redaction"
    assert obs.report()["sentry"] == {"state": "on", "why": why}
    answer = await ask(app, path="/broken/1")
    obs.remove()
    assert sentry_sdk.get_client() is client
    assert client.options["before_send"] is before_send
    sentry_sdk.capture_message(f"password={SECRET}")
    event, message = events
    assert (event["tags"]["request_id"], event["release"]) == (answer.id, "theirs")
    assert event["exception"]["values"][0]["value"] == "password=[redacted]"
    assert message["message"] == f"password={SECRET}"
    assert len(kept) == 2
    sentry_sdk.get_global_scope().set_client(None)


async def test_a_server_that_logs_the_exception(observe: Observe, events: list[dict[str, Any]]) -> None:
    """The SDK by itself makes events of log records: the server's, of a request that is over, is none more."""
    app = shop()

    @app.middleware("http")
    async def between(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    async def server(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(2):  # a request after another on one connection
            try:
                await app(scope, receive, send)
            except RuntimeError:
                logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
            logging.getLogger("uvicorn.error").error("something else")

    sentry_sdk.init(dsn=DSN, transport=Kept)
    app.mount("/sub", shop())
    observe(app, integrations.sentry())
    await ask(server, path="/sub/broken/1")
    said = [event["exception"]["values"][0]["type"] if "exception" in event else "something else" for event in events]
    assert said == ["RuntimeError", "something else"] * 2
    sentry_sdk.get_global_scope().set_client(None)


async def test_an_sdk_that_is_initialised_later(observe: Observe, events: list[dict[str, Any]]) -> None:
    """A client that the application makes before it starts is followed."""
    app = shop()
    obs = observe(app, part())
    sentry_sdk.init(dsn=DSN, transport=Kept, release="theirs")
    async with running(app):
        answer = await ask(app, path="/broken/1")
    assert [(event["tags"]["request_id"], event["release"]) for event in events] == [(answer.id, "theirs")]
    assert "own sentry_sdk.init" in obs.report()["sentry"]["why"]
    obs.remove()
    sentry_sdk.get_global_scope().set_client(None)


async def test_removal(observe: Observe, events: list[dict[str, Any]]) -> None:
    """With the last application that has it, the client goes; requests are served, and nothing is sent."""
    first, second = shop(), shop()
    ours, theirs = observe(first, part()), observe(second, part(traces=0.5))
    assert theirs.report()["sentry"]["why"] == "another application of this process set Sentry up first"
    ours.remove()
    assert (await ask(second, path="/broken/1")).status == 500
    assert len(events) == 1
    theirs.remove()
    assert not sentry_sdk.is_initialized()
    assert (await ask(first, path="/fine")).status == 200
    assert len(events) == 1
    again = observe(first, part())
    await ask(first, path="/broken/1")
    assert len(events) == 2
    again.remove()


async def test_what_is_lost_is_counted(observe: Observe) -> None:
    """What the SDK could not send is in a metric, by what it was and why; what was not meant to be sent is not."""
    app = shop()
    observe(app, part())
    transport = sentry_sdk.get_client().transport
    assert transport is not None
    transport.record_lost_event("queue_overflow", data_category="error")
    transport.record_lost_event("sample_rate", data_category="transaction")
    assert await samples(app, "belvedere_sentry_dropped_total") == {
        'belvedere_sentry_dropped_total{category="error",reason="queue_overflow"}': 1.0
    }


async def test_no_header_goes_to_others(observe: Observe) -> None:
    """Without traces of Sentry's, requests to other services carry none of its headers."""
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(204)

    app = shop()

    @app.get("/asking")
    async def asking() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
            await client.get("http://partner.example/")

    observe(app, part(), integrations.httpx())
    reply = await ask(app, path="/asking")
    assert asked[0].headers["x-request-id"] == reply.id
    assert asked[0].headers.keys().isdisjoint({"sentry-trace", "baggage"})


async def test_log_records_are_no_events(observe: Observe, events: list[dict[str, Any]]) -> None:
    """A record of logging, of whatever level, goes before an event and is none itself."""
    app = shop()
    observe(app, part())
    await ask(app, path="/fine")
    assert events == []


async def test_no_event_of_a_retry(events: list[dict[str, Any]]) -> None:
    """A task of Celery's that fails is one event, one that is tried again none; no web application is needed."""
    worker = celery.Celery("shop", broker="memory://", backend="cache+memory://")

    @worker.task(bind=True, max_retries=2)  # type: ignore[untyped-decorator, unused-ignore]
    def flaky(self: Any) -> str:
        if self.request.retries < 1:
            raise self.retry(exc=ConnectionError(), countdown=0)
        return "done"

    @worker.task  # type: ignore[untyped-decorator, unused-ignore]
    def failing() -> None:
        raise ArithmeticError

    sent = part()
    sent.install(Alone())
    belvedere.set_request_id("job-7")
    assert await asyncio.to_thread(lambda: flaky.apply().get()) == "done"
    assert events == []
    await asyncio.to_thread(failing.apply)
    belvedere.set_request_id(None)
    sent.uninstall()
    assert [(event["tags"]["request_id"], event["transaction"].rpartition(".")[2]) for event in events] == [
        ("job-7", "failing")
    ]


class Alone:
    """A host that serves no requests."""

    settings = Settings(service="worker", version="1")

    def metric(self, *_: Any, **__: Any) -> Any:
        return None

    def observer(self, observer: Any) -> None: ...

    def on_start(self, call: Callable[[], Any]) -> None: ...

    def on_stop(self, call: Callable[[], Any]) -> None: ...
