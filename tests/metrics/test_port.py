"""Metrics on a port of their own: the same answers as on the service's, and a port that is the service's or taken."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest
from fastapi import FastAPI

import belvedere
from belvedere.metrics.port import Claim, Port
from belvedere.wiring.findings import findings
from tests.drive import ask, running
from tests.metrics.conftest import Observe
from tests.metrics.ports import DEADLINE, Log, get, opened, refuses, talk, until
from tests.metrics.scraping import OPENMETRICS, TEXT
from tests.ports import free_port


async def got(*args: Any, **headers: Any) -> Any:
    return await asyncio.to_thread(get, *args, **headers)


def port_of(observability: belvedere.Observability) -> Port:
    assert observability._metrics is not None
    assert observability._metrics.port is not None
    return observability._metrics.port


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("headers", "kind", "encoding"),
    [
        ({}, TEXT, None),
        ({"Accept": "application/openmetrics-text;version=1.0.0"}, OPENMETRICS, None),
        ({"Accept_Encoding": "gzip"}, TEXT, "gzip"),
    ],
)
async def test_it_answers_as_the_services_own_port_does(
    method: str, headers: dict[str, str], kind: str, encoding: str | None, observe: Observe
) -> None:
    """Format, encoding, headers and HEAD; below another path there is nothing, and nothing on the service's port."""
    app = FastAPI()
    obs = observe(app, metrics={"port": 0, "path": "/internal/metrics"})
    async with running(app):
        port = port_of(obs).number
        answer = await got(port, "/internal/metrics", method, **headers)
        assert answer.status == 200
        assert [name.lower() for name, _ in answer.getheaders()] == [
            "date", "content-type", "content-length", "cache-control", "vary",
            *(["content-encoding"] if encoding else []), "connection",
        ]  # fmt: skip
        assert answer.headers["content-type"] == kind
        assert answer.headers["content-encoding"] == encoding
        assert (len(answer.body) == int(answer.headers["content-length"])) == (method == "GET")
        assert (await got(port, "/metrics", method)).status == 404
        assert (await ask(app, "GET", "/internal/metrics")).status == 404


async def test_other_methods_and_urls(observe: Observe) -> None:
    """405 with what is allowed; a query or a whole URL change nothing."""
    app = FastAPI()
    obs = observe(app, metrics={"port": 0})
    async with running(app):
        port = port_of(obs).number
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            answer = await got(port, "/metrics", method)
            assert (answer.status, answer.headers["allow"], answer.body) == (
                405,
                "GET, HEAD",
                b"Method Not Allowed\n",
            )
        for path in ("/metrics?name[]=up", "http://scraped.test/metrics", "/%6detrics"):
            assert (await got(port, path)).status == 200
        assert (await asyncio.to_thread(talk, port, b"GET http://[/metrics HTTP/1.1\r\n\r\n")).startswith(
            b"HTTP/1.1 400 "
        )


@pytest.mark.parametrize("token", ["s3cret", "geh\u00e4im-\u00c5"])
async def test_the_token(token: str, observe: Observe) -> None:
    """Any spelling of the scheme and nothing but exactly the token, of whatever characters."""
    app = FastAPI()
    obs = observe(app, metrics={"port": 0, "token": token})
    raw = token.encode().decode("latin-1")
    answer: Any = None
    async with running(app):
        port = port_of(obs).number
        for given, status in [
            (None, 401),
            (f"Bearer {raw}", 200),
            (f"bearer {raw}", 200),
            (f"BEARER {raw}", 200),
            (f"Bearer {raw[:-1]}", 401),
            (f"Bearer {raw}x", 401),
            (raw, 401),
            (f"Bearer {raw * 5000}"[:60_000], 401),
        ]:
            answer = await got(port, **({} if given is None else {"Authorization": given}))
            assert answer.status == status, given
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.body == b"Unauthorized\n"


async def test_networks_behind_trusted_proxies(observe: Observe) -> None:
    """The connection's address counts, and the forwarded one where it comes from a trusted proxy."""
    app = FastAPI()
    obs = observe(app, metrics={"port": 0, "allow": ["10.0.0.0/8"]}, requests={"trusted_proxies": ["127.0.0.1"]})
    async with running(app):
        port = port_of(obs).number
        assert (await got(port)).status == 403
        assert (await got(port, X_Forwarded_For="10.1.2.3")).status == 200
        assert (await got(port, X_Forwarded_For="10.1.2.3, 192.0.2.1")).status == 403
    other = FastAPI()
    obs = observe(other, metrics={"port": 0, "allow": ["127.0.0.0/8"]})
    async with running(other):
        port = port_of(obs).number
        assert (await got(port)).status == 200
        assert (await got(port, X_Forwarded_For="192.0.2.1")).status == 200
        if socket.has_dualstack_ipv6():
            assert (await got(port, host="::1")).status == 403


async def test_gauges_are_read_on_the_event_loop(observe: Observe) -> None:
    """What has to be asked there is, and so is the thread pool; requests are counted."""
    app = FastAPI()
    obs = observe(app, metrics={"port": 0})
    threads: list[threading.Thread] = []

    async def read() -> float:
        threads.append(threading.current_thread())
        return 7.0

    belvedere.gauge("open_carts", "Open carts.", read=read)
    async with running(app):
        await ask(app, "GET", "/nowhere")
        text = (await got(port_of(obs).number)).body.decode()
    assert threads == [threading.current_thread()]
    assert "\nopen_carts 7.0\n" in text
    assert '\nhttp_requests_total{method="GET",endpoint="unmatched",status="404"} 1.0\n' in text
    assert 'belvedere_threadpool_threads{state="idle"}' in text


async def test_a_stuck_event_loop_is_scraped_all_the_same(observe: Observe, monkeypatch: pytest.MonkeyPatch) -> None:
    """When it does not answer in time, what is known is served, its lag among it."""
    monkeypatch.setattr("belvedere.metrics.metrics._REFRESH_TIMEOUT", 0.2)
    app = FastAPI()
    obs = observe(app, metrics={"port": 0})
    async with running(app):
        port = port_of(obs).number
        answers: list[Any] = []
        scraper = threading.Thread(target=lambda: answers.append(get(port)))
        scraper.start()
        scraper.join(DEADLINE)  # which is what is wrong with this loop
        assert answers[0].status == 200
        (lag,) = [
            line.split()[1]
            for line in answers[0].body.decode().splitlines()
            if line.startswith("belvedere_event_loop_lag_seconds ")
        ]
        assert float(lag) >= 0  # late by less than one tick, maybe; a series is there without the loop


async def test_it_opens_and_closes_with_the_application(observe: Observe) -> None:
    """Open from its start to its stop, also a second time; gone after `remove()`, threads too."""
    app = FastAPI()
    obs = observe(app, metrics={"port": (number := free_port())})
    why = obs.report()["metrics"]["why"]
    assert why == (
        f"at /metrics on port {number}, open from the start of the application, or without lifespan from its "
        "first request"
    )
    assert refuses(number)
    for _ in range(2):
        async with running(app):
            assert (await got(number)).status == 200
            assert obs.report()["metrics"] == {"state": "on", "why": f"at /metrics on port {number}"}
            assert obs.catalogue()["metrics_port"] == number
        assert refuses(number)
    async with running(app):
        assert not refuses(number)
        obs.remove()
        assert refuses(number)
    until(lambda: not any(thread.name.startswith("belvedere-port") for thread in threading.enumerate()))


async def test_without_a_lifespan_it_opens_with_the_first_request(observe: Observe) -> None:
    """Earlier there is nobody who serves; and `remove()` closes it."""
    app = FastAPI()
    obs = observe(app, metrics={"port": 0})
    assert obs.report()["metrics"]["why"].startswith("at /metrics on any port that is free, open from")
    await ask(app, "GET", "/nowhere")
    await asyncio.sleep(0)
    port = port_of(obs)
    assert port.state == "open"
    assert (await got(port.number)).status == 200
    number = port.number
    obs.remove()
    assert refuses(number)


async def test_without_a_port_none_is_opened(observe: Observe) -> None:
    """Nothing listens, and no thread is there, unless the settings say so."""
    app = FastAPI()
    before = set(threading.enumerate())  # those of a port that was closed just now may be about to end
    obs = observe(app)
    async with running(app):
        assert obs._metrics is not None
        assert obs._metrics.port is None
        assert obs.catalogue()["metrics_port"] is None
        begun = set(threading.enumerate()) - before
        assert not any(thread.name.startswith("belvedere-port") for thread in begun)


def test_a_port_that_is_taken_is_told_once_and_tried_again() -> None:
    """The warning names port and remedy; once the port is free it is listened on."""
    log = Log()
    with socket.create_server(("", free_port())) as taken:
        number = taken.getsockname()[1]
        with opened(number, log) as port:
            assert (port.state, port.reason) == ("failed", "address already in use")
            port._try()
            taken.close()
            until(lambda: port.state == "open")
            assert get(number).status == 200
    remedy = "choose another port by the setting metrics.port, or stop what listens there"
    assert log == [
        ("metrics_port_unavailable", {"port": number, "reason": "address already in use", "remedy": remedy}),
        ("metrics_listening", {"port": number}),
    ]


async def test_a_port_that_is_taken_stops_no_service(observe: Observe) -> None:
    """The application serves; report and findings say what is wrong with the port."""
    app = FastAPI()
    with socket.create_server(("", free_port())) as taken:
        number = taken.getsockname()[1]
        obs = observe(app, metrics={"port": number})
        async with running(app):
            assert (await ask(app, "GET", "/healthz")).status == 200
            assert obs.report()["metrics"]["why"] == (
                f"at /metrics on port {number}, which cannot be listened on (address already in use): not served"
            )
            assert findings(obs) == [
                {
                    "feature": "metrics",
                    "finding": f"port {number} cannot be listened on (address already in use): metrics are not served",
                    "remedy": "choose another port by the setting metrics.port, or stop what listens there",
                }
            ]


def test_the_services_own_port_is_left_alone() -> None:
    """Where the server says which port it is about to take, that one is not taken before it."""
    log = Log()
    port = Port(number := free_port(), {}, Claim(number), log)
    port.start(service_port=number)
    assert (port.state, port.reason) == ("failed", "the service itself is to listen there")
    assert refuses(number)
    assert [event for event, _ in log] == ["metrics_port_unavailable"]
    port.close()


def test_a_port_that_the_server_has_bound_already_is_left_alone() -> None:
    """Before the server listens, the system would let anybody else, and then refuse the server."""
    log = Log()
    with socket.socket() as bound, socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", 0))
        port = Port(number := bound.getsockname()[1], {}, Claim(number), log)
        port.start()
        assert (port.state, port.reason) == ("failed", "the service itself is to listen there")
        bound.listen()
    port.close()


async def test_sockets_that_are_taken_for_others(observe: Observe, monkeypatch: pytest.MonkeyPatch) -> None:
    """eventlet makes every descriptor that a process has a socket of IPv4: the port opens beside a Unix one all the
    same."""

    class Green(socket.socket):
        def __init__(self, family: int = socket.AF_INET, type: int = socket.SOCK_STREAM, *args: Any, **more: Any):
            super().__init__(family, type, *args, **more)

    ends = socket.socketpair()
    app = FastAPI()
    obs = observe(app, metrics={"port": free_port()})
    with ends[0], ends[1], monkeypatch.context() as patched:
        patched.setattr("belvedere.asgi.server.socket.socket", Green)
        async with running(app):
            assert port_of(obs).number
            assert (await got(port_of(obs).number, "/metrics")).status == 200
