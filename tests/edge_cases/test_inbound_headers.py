"""Inbound headers: what a caller sends is kept where it is safe, and replaced where it is not."""

from __future__ import annotations

import re
import subprocess
import sys
import uuid
from typing import Any

import pytest
from fastapi import FastAPI, Request
from starlette.responses import PlainTextResponse, Response

import belvedere
from tests.drive import RawHeaders, ask
from tests.edge_cases.conftest import Lines, Observe

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


@pytest.fixture
def app() -> FastAPI:
    """An application that tells the ids it sees."""
    app = FastAPI()

    @app.get("/")
    async def ids(request: Request) -> dict[str, Any]:
        return {"id": belvedere.request_id(), "trace": request.state.trace_id}

    return app


def made(value: str) -> bool:
    """Whether an id is one that is made here: a UUID4."""
    return str(uuid.UUID(value)) == value and uuid.UUID(value).version == 4


@pytest.mark.parametrize(
    "value",
    [
        "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed",
        "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        TRACE,
        f"00-{TRACE}-{SPAN}-01",
        "x",
        "A-Za-z0-9._~:/+=@-",
        "a" * 128,
    ],
    ids=["uuid", "ulid", "32 hex", "w3c", "one character", "every kind of character", "128 characters"],
)
async def test_a_valid_id_is_kept_everywhere(app: FastAPI, observe: Observe, lines: Lines, value: str) -> None:
    """The caller's id is the one in the answer, the application, the trace id and the log line."""
    observe(app)
    answer = await ask(app, headers=[(b"x-request-id", value.encode())])
    assert answer.all("x-request-id") == [value]
    assert answer.json() == {"id": value, "trace": value}
    (line,) = lines()
    assert (line["request_id"], line["trace_id"]) == (value, value)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b" ",
        b"a b",
        b"a\rb",
        b"a\nb: c",
        b"a\r\nset-cookie: x=1",
        b"a\x00b",
        "é".encode(),
        b"\xff\xfe",
        b'a"b',
        b"<script>",
        b"a,b",
        b"a;b",
        b"{id}",
        b"%0d%0a",
        b"a" * 129,
        b"a" * 65_536,
    ],
)
async def test_an_invalid_id_is_replaced_and_never_repeated(
    app: FastAPI, observe: Observe, lines: Lines, value: bytes
) -> None:
    """CR, LF, NUL, non-ASCII, quotes, 64 KB and nothing at all: a new id, and not a trace of the caller's."""
    observe(app)
    answer = await ask(app, headers=[(b"x-request-id", value)])
    assert made(answer.id)
    assert answer.json() == {"id": answer.id, "trace": answer.id.replace("-", "")}
    (line,) = lines()
    assert (line["request_id"], line["trace_id"]) == (answer.id, answer.id.replace("-", ""))


async def test_two_ids_count_as_none(app: FastAPI, observe: Observe) -> None:
    """Two `X-Request-ID` headers, even alike, are replaced by one that is made here."""
    observe(app)
    answer = await ask(app, headers=[(b"x-request-id", b"one"), (b"accept", b"*/*"), (b"x-request-id", b"one")])
    assert made(answer.id)


async def test_without_trust_every_id_is_made_here(app: FastAPI, observe: Observe) -> None:
    """`requests.trust` false: a caller's valid id is replaced as well."""
    observe(app, requests={"trust": False})
    answer = await ask(app, headers=[(b"x-request-id", b"mine")])
    assert made(answer.id)


async def test_hex_makes_both_spellings_one(app: FastAPI, observe: Observe) -> None:
    """`requests.format` hex: the id is its own trace id."""
    observe(app, requests={"format": "hex"})
    answer = await ask(app)
    assert re.fullmatch("[0-9a-f]{32}", answer.id)
    assert answer.json() == {"id": answer.id, "trace": answer.id}


async def test_another_header_carries_the_id(app: FastAPI, observe: Observe) -> None:
    """`requests.header` is the one that is read and sent, the usual one is then nobody's."""
    observe(app, requests={"header": "X-Correlation-ID"})
    answer = await ask(app, headers=[(b"x-correlation-id", b"mine"), (b"x-request-id", b"other")])
    assert (answer.all("x-correlation-id"), answer.all("x-request-id")) == (["mine"], [])


@pytest.mark.parametrize("name", ["x-request-id", "X-Request-ID", "X-REQUEST-ID", "X-Request-Id"])
async def test_the_answer_has_one_id_even_if_the_application_sends_its_own(observe: Observe, name: str) -> None:
    """The response header is never doubled, and is the one that the log line has."""
    app = FastAPI()

    async def raw(scope: Any, receive: Any, send: Any) -> None:
        headers = [(name.encode(), b"theirs"), (b"x-other", b"1")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    app.mount("/raw", raw)
    observe(app)
    answer = await ask(app, path="/raw/x", headers=[(b"x-request-id", b"mine")])
    assert answer.all("x-request-id") == ["mine"]
    assert answer.all("x-other") == ["1"]


async def test_ids_made_here_differ_and_can_be_a_trace_id(app: FastAPI, observe: Observe) -> None:
    """A thousand ids are a thousand UUID4s, none of whose trace ids is invalid."""
    observe(app)
    ids = {(await ask(app)).id for _ in range(1000)}
    assert len(ids) == 1000
    assert all(made(one) for one in ids)


async def test_a_valid_traceparent_gives_the_trace_id(app: FastAPI, observe: Observe, lines: Lines) -> None:
    """The inbound trace id is the request's, while the request id is made here or the caller's."""
    observe(app)
    parent = (b"traceparent", f"00-{TRACE}-{SPAN}-01".encode())
    answer = await ask(app, headers=[parent])
    assert made(answer.id)
    assert answer.json() == {"id": answer.id, "trace": TRACE}
    answer = await ask(app, headers=[parent, (b"x-request-id", b"mine")])
    assert answer.json() == {"id": "mine", "trace": TRACE}
    assert [line["trace_id"] for line in lines()] == [TRACE, TRACE]


@pytest.mark.parametrize(
    "value",
    [
        "",
        "x",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-0",
        f"00-{TRACE}-{SPAN}-01-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE[:-1]}g-{SPAN}-01",
        f"00_{TRACE}_{SPAN}_01",
        f"01-{TRACE}-{SPAN}-01more",
        f"00-{TRACE}-{SPAN}-01" * 1000,
        f"00-{TRACE}-{SPAN}-zz",
        "é" * 55,
    ],
)
async def test_a_malformed_traceparent_is_as_none(app: FastAPI, observe: Observe, value: str) -> None:
    """What W3C Trace Context calls invalid is ignored: the id made here is the trace id, the answer is 200."""
    observe(app)
    answer = await ask(app, headers=[(b"traceparent", value.encode())])
    assert answer.json() == {"id": answer.id, "trace": answer.id.replace("-", "")}


async def test_two_traceparents_are_as_none(app: FastAPI, observe: Observe) -> None:
    """Two `traceparent` headers are ignored."""
    observe(app)
    parent = (b"traceparent", f"00-{TRACE}-{SPAN}-01".encode())
    answer = await ask(app, headers=[parent, parent])
    assert answer.json()["trace"] == answer.id.replace("-", "")


async def test_a_traceparent_of_a_later_version_is_read(app: FastAPI, observe: Observe) -> None:
    """A version that nobody knows yet may append fields; its beginning is valid."""
    observe(app)
    answer = await ask(app, headers=[(b"traceparent", f"cc-{TRACE}-{SPAN}-01-what-comes".encode())])
    assert answer.json()["trace"] == TRACE


def forwarded(*values: bytes, proto: bytes = b"") -> RawHeaders:
    """Return headers as proxies send them."""
    found = [(b"x-forwarded-for", value) for value in values]
    return [*found, (b"x-forwarded-proto", proto)] if proto else found


@pytest.mark.parametrize(
    ("trusted", "peer", "headers", "client"),
    [
        ((), "10.0.0.1", forwarded(b"203.0.113.9"), "10.0.0.1"),
        (("10.0.0.0/8",), "192.0.2.1", forwarded(b"203.0.113.9"), "192.0.2.1"),
        (("10.0.0.0/8",), "10.0.0.1", forwarded(b"203.0.113.9"), "203.0.113.9"),
        (("10.0.0.0/8",), "10.0.0.1", forwarded(b"1.1.1.1, 203.0.113.9, 10.0.0.2"), "203.0.113.9"),
        (("10.0.0.0/8",), "10.0.0.1", forwarded(b"1.1.1.1", b"203.0.113.9"), "203.0.113.9"),
        (("10.0.0.0/8",), "10.0.0.1", forwarded(b"10.0.0.3, 10.0.0.2"), "10.0.0.3"),
        (("10.0.0.0/8",), "10.0.0.1", forwarded(b"<script>"), "10.0.0.1"),
        (("10.0.0.0/8",), "10.0.0.1", forwarded(b""), "10.0.0.1"),
        (("::1",), "::1", forwarded(b"2001:db8::7"), "2001:db8::7"),
        (("0.0.0.0/0", "::/0"), "::ffff:10.0.0.1", forwarded(b"203.0.113.9"), "203.0.113.9"),
        (("10.0.0.0/8",), "not-an-address", forwarded(b"203.0.113.9"), "not-an-address"),
    ],
)
async def test_forwarded_addresses_are_believed_from_trusted_proxies_alone(
    observe: Observe, lines: Lines, *, trusted: tuple[str, ...], peer: str, headers: RawHeaders, client: str
) -> None:
    """The client is the nearest hop that is no trusted proxy, and the connection's own where that is none."""
    app = FastAPI()
    observe(app, requests={"trusted_proxies": trusted})
    await ask(app, headers=headers, client=(peer, 4711))
    assert [line["client"] for line in lines("request_processed")] == [client]


@pytest.mark.parametrize(("peer", "sent"), [("10.0.0.1", True), ("192.0.2.1", False)])
async def test_a_forwarded_scheme_is_believed_from_trusted_proxies_alone(
    app: FastAPI, observe: Observe, peer: str, sent: bool
) -> None:
    """HSTS is sent behind a proxy that says `https`, if that proxy is trusted."""
    observe(app, requests={"trusted_proxies": ["10.0.0.0/8"]})
    answer = await ask(app, headers=forwarded(proto=b"https"), client=(peer, 4711))
    assert bool(answer.all("strict-transport-security")) is sent


async def test_a_connection_without_an_address(app: FastAPI, observe: Observe, lines: Lines) -> None:
    """Over a Unix socket nobody has an address: the line has no client."""
    observe(app, requests={"trusted_proxies": ["10.0.0.0/8"]})
    answer = await ask(app, headers=forwarded(b"203.0.113.9"), client=None)
    assert answer.status == 200
    assert "client" not in lines()[0]


async def test_bound_context_is_checked_like_an_id(observe: Observe, lines: Lines) -> None:
    """`requests.bind` takes context from path, header and query in order; what is not safe is not bound."""
    app = FastAPI()

    @app.get("/projects/{project_id}")
    async def project(project_id: str) -> Response:
        return PlainTextResponse("ok")

    observe(app, requests={"bind": {"project_id": ["path:project_id", "header:X-Project-Id", "query:project"]}})
    header = [(b"x-project-id", b"from-header")]
    await ask(app, path="/projects/from-path", headers=header, query=b"project=from-query")
    await ask(app, path="/nothing", headers=header, query=b"project=from-query")
    await ask(app, path="/nothing", query=b"project=from-query")
    await ask(app, path="/nothing", headers=[(b"x-project-id", b"no good\xff")], query=b"project=neither+this")
    assert [line.get("project_id") for line in lines("request_processed")] == [
        "from-path",
        "from-header",
        "from-query",
        None,
    ]


def test_forked_workers_make_different_ids() -> None:
    """Workers that were forked after the application had served a request share none of the ids it had to spare."""
    code = """if True:
        import asyncio, os, sys
        from fastapi import FastAPI
        import belvedere
        from tests.drive import ask as drive
        app = FastAPI()
        belvedere.observe(app)
        async def ask():
            sys.stderr.write(str(dict((await drive(app)).messages[0]["headers"])[b"x-request-id"]) + "\\n")
        asyncio.run(ask())
        for _ in range(2):
            if os.fork() == 0:
                asyncio.run(ask())
                os._exit(0)
            os.wait()
        asyncio.run(ask())
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ids = done.stderr.split()
    assert len(ids) == len(set(ids)) == 4
