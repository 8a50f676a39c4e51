"""Clients of the metrics' own port that are slow, many, or speak no HTTP: it is hard to wear out."""

from __future__ import annotations

import socket
import threading
import time
from http import HTTPStatus
from typing import Any

import pytest

from belvedere import failures
from belvedere.metrics.port import Claim, Port
from belvedere.metrics.port.server import ASK_WITHIN, AT_ONCE, Server
from belvedere.metrics.scrapes import Scope, reply
from tests.metrics.conftest import Clock
from tests.metrics.ports import DEADLINE, get, opened, talk, until


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET /metrics HTTP/1.1\r\nA: " + b"x" * 70_000 + b"\r\n\r\n", 431),
        (
            b"GET /metrics HTTP/1.1\r\n" + (b"A: " + b"x" * 30_000 + b"\r\n") * 5 + b"\r\n",
            431,
        ),
        (b"GET /metrics HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
        (b"<script> /metrics HTTP/1.1\r\n\r\n", 501),
        (b"\x16\x03\x01\x02\x00 x x x\r\n\r\n", 400),
        (b"GET /metrics HTTP/9.1\r\n\r\n", 505),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 50000\r\n\r\n" + b"x" * 50_000, 405),
        (b"GET /metrics HTTP/1.0\r\n\r\n", 200),
        # A proxy may take each for one header, or for none, where this would be two.
        (b"GET /metrics HTTP/1.1\r\nA: b\rX-Forwarded-For: 10.0.0.1\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nX-Forwarded-For: 192.0.2.1\r\n 10.0.0.1\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nnone\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nX-Forwarded-For : 192.0.2.1\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nA: \0\r\n\r\n", 400),
    ],
)
def test_requests_that_are_none(asked: bytes, status: int, capfd: pytest.CaptureFixture[str]) -> None:
    """They are answered in plain words that repeat nothing, and written to no stream."""
    with opened(0) as port:
        answer = talk(port.number, asked)
    phrase = HTTPStatus(status).phrase.encode()
    assert answer.startswith(b"HTTP/1.1 %d %b\r\n" % (status, phrase))
    assert b"script" not in answer
    assert answer.partition(b"\r\n\r\n")[2] == (b"metrics\n" if status == 200 else phrase + b"\n")
    assert capfd.readouterr() == ("", "")
    assert failures.counts == {}


def test_clients_that_leave(capfd: pytest.CaptureFixture[str]) -> None:
    """At any moment, and the next one is answered."""
    with opened(0) as port:
        for sent in (b"", b"GET /met", b"GET /metrics HTTP/1.1\r\n", b"GET /metrics HTTP/1.1\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", port.number)) as client:
                client.sendall(sent)
        assert get(port.number).status == 200
    assert capfd.readouterr() == ("", "")
    assert failures.counts == {}


def test_clients_that_ask_for_nothing_keep_nobody_from_scraping() -> None:
    """However many connections are open and silent, a scrape is answered at once, by few threads."""
    with opened(0) as port:
        silent = [socket.create_connection(("127.0.0.1", port.number)) for _ in range(5 * AT_ONCE)]
        began = time.monotonic()
        assert get(port.number).status == 200
        assert time.monotonic() - began < ASK_WITHIN / 2
        until(lambda: sum(thread.name == "belvedere-port-request" for thread in threading.enumerate()) <= AT_ONCE)
        for client in silent:
            client.close()


def test_when_all_are_answered_another_is_told_to_come_back() -> None:
    """A ninth scrape at the same time gets 503."""
    entered, leave = threading.Semaphore(0), threading.Event()

    def slow(scope: Scope) -> Any:
        entered.release()
        leave.wait(DEADLINE)
        return reply(200, b"slow\n")

    port = Port(0, {"/slow": slow}, Claim(0))
    port.start()
    try:
        scrapers = [threading.Thread(target=get, args=(port.number, "/slow")) for _ in range(AT_ONCE)]
        for scraper in scrapers:
            scraper.start()
        for _ in scrapers:
            assert entered.acquire(timeout=DEADLINE)
        with socket.create_connection(("127.0.0.1", port.number), timeout=DEADLINE) as client:
            assert client.recv(1000).startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        leave.set()
        for scraper in scrapers:
            scraper.join(DEADLINE)
        assert get(port.number, "/slow").status == 200
    finally:
        leave.set()
        port.close()


def test_a_client_that_asks_too_slowly_is_cut_off(clock: Clock) -> None:
    """After so many seconds for its request, whatever it sends now and then."""
    server = Server(socket.create_server(("127.0.0.1", 0)), {}, clock)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE) as client:
            client.sendall(b"GET /metrics HTTP/1.1\r\n")
            until(lambda: len(server._open) == 1)
            clock.seconds += ASK_WITHIN + 0.1
            assert client.recv(1000) == b""
        until(lambda: not server._open)
    finally:
        server.close()
        thread.join(DEADLINE)


def test_a_handler_that_fails_is_a_500() -> None:
    """It is counted as a failure of ours, and its text is not shown."""

    def broken(scope: Scope) -> Any:
        raise ValueError("password=hunter2")

    port = Port(0, {"/metrics": broken}, Claim(0))
    port.start()
    try:
        answer = get(port.number)
        assert (answer.status, answer.body) == (500, b"Internal Server Error\n")
    finally:
        port.close()
    assert failures.counts == {"metrics": 1}
