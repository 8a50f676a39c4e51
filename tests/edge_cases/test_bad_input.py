"""Bad input: a clear answer with the id, one log line for it, nothing crashed, nothing leaked."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from tests.drive import RawHeaders, ask, requests
from tests.edge_cases.conftest import Lines, Observe

JSON = [(b"content-type", b"application/json")]


class Order(BaseModel):
    name: str
    amount: int


@pytest.fixture
def app(observe: Observe) -> FastAPI:
    """An observed application that reads bodies and parameters."""
    app = FastAPI()

    @app.post("/orders")
    async def order(order: Order) -> int:
        return order.amount

    @app.get("/items/{item}")
    async def item(item: str) -> str:
        return item

    observe(app)
    return app


def one_access_line(lines: Lines, request_id: str, status: int) -> dict[str, Any]:
    """Return the access line, of which there is one, all lines having the id."""
    found = lines()
    assert {line["request_id"] for line in found} == {request_id}
    (access,) = [line for line in found if line["event"] == "request_processed"]
    assert access["status"] == status
    assert len(found) <= 2
    return access


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"not json",
        b"\xff\xfe\x00",
        b'{"name": "\xff", "amount": 1}',
        b"[]",
        b"null",
        b'"text"',
        b"NaN",
        b'{"name": 1, "amount": "s3cret-value"}',
        b'{"amount": 1e400}',
        b"[" * 900 + b"]" * 900,
        b"[" * 100_000,
    ],
    ids=repr,
)
async def test_a_body_that_is_no_such_json(app: FastAPI, lines: Lines, body: bytes) -> None:
    """Broken, empty, deeply nested and wrong bodies are refused in the one shape, and not repeated anywhere."""
    answer = await ask(app, "POST", "/orders", headers=JSON, body=body)
    assert answer.raised is None
    assert answer.status in {400, 422}
    assert set(answer.json()) == {"error", "message", "request_id"} | ({"details"} if answer.status == 422 else set())
    assert answer.json()["request_id"] == answer.id
    assert "s3cret-value" not in answer.body.decode()
    access = one_access_line(lines, answer.id, answer.status)
    assert (access["endpoint"], access["level"]) == ("/orders", "warning")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (b"text/plain", b"name=a"),
        (b"application/json; charset=nonsense", b"{"),
        (b"application/x-www-form-urlencoded", b"\xff=%zz&&&==="),
        (b"multipart/form-data", b"no boundary"),
        (b"\xff\xff", b"?"),
        (b"", b"\x00"),
    ],
)
async def test_a_body_of_another_kind(app: FastAPI, lines: Lines, kind: bytes, body: bytes) -> None:
    """Wrong content types are refused with the id, under their route."""
    answer = await ask(app, "POST", "/orders", headers=[(b"content-type", kind)], body=body)
    assert answer.raised is None
    assert answer.status in {400, 422}
    assert answer.json()["request_id"] == answer.id
    assert one_access_line(lines, answer.id, answer.status)["endpoint"] == "/orders"


@pytest.mark.parametrize("method", ["BREW", "get", "G\u00cbT", "", "A" * 10_000, "GET\x00", "PROPFIND", "__proto__"])
async def test_a_method_nobody_knows(app: FastAPI, lines: Lines, method: str) -> None:
    """It is refused, logged as it was sent, and counted as `_OTHER`."""
    answer = await ask(app, method, "/items/1")
    assert (answer.status, answer.json()["error"]) == (405, "http_405")
    assert one_access_line(lines, answer.id, 405)["method"][:8] == method[:8]
    assert await requests(app) == {("_OTHER", "/items/{item}", "405"): 1.0}


@pytest.mark.parametrize(
    "path",
    [
        "/\x00",
        "/items/\x00\x01\x1f",
        "//",
        "/../../etc/passwd",
        "/\u202e\u2028",
        "/\ud800",
        "/" + "a" * 60_000,
        '/"}{"level":"fake"',
        "/\n{}",
        "/\x1b[31mred",
        "",
        "*",
        "no-slash",
    ],
    ids=ascii,
)
async def test_a_path_that_is_none(app: FastAPI, lines: Lines, path: str) -> None:
    """NUL, control and lone surrogate characters, and paths without end: a clear answer, one line of valid JSON."""
    answer = await ask(app, "GET", path, raw_path=b"/raw")
    assert answer.raised is None
    assert answer.status in {200, 307, 404}
    one_access_line(lines, answer.id, answer.status)


@pytest.mark.parametrize(
    "headers",
    [
        [(b"x-%d" % n, b"v" * 50) for n in range(5_000)],
        [(b"cookie", b"a=b; " * 13_000)],
        [(b"x-request-id", b"a")] * 2_000,
        [(b"traceparent", b"00")] * 2_000,
        [(b"x-forwarded-for", b"1.1.1.1, " * 7_000)],
        [(b"content-length", b"-1")],
        [(b"content-length", b"\xb2")],
        [(b"content-length", b"9" * 4_000)],
        [(b"content-length", b"9" * 5_000)],
        [(b"content-length", b"1"), (b"content-length", b"2")],
        [(b"", b"")],
        [(b"host", b"\xff\x00")],
        [(b"host", b"[::1")],
        [(b"accept", b"application/problem+json;q=" + b"9" * 4_000)],
        [(b"accept", b"," * 60_000)],
        [(b"accept-encoding", b"\xff" * 1_000)],
        [(b"user-agent", b"\x1b[31m")],
    ],
    ids=lambda headers: ascii(headers[0])[:50],
)
@pytest.mark.parametrize(("path", "status"), [("/items/1", 200), ("/nothing", 404)])
async def test_floods_and_nonsense_of_headers(
    observe: Observe, lines: Lines, headers: RawHeaders, path: str, status: int
) -> None:
    """Thousands of headers, endless ones and nonsense: served or refused as without them, with one id and one line."""
    app = FastAPI()

    @app.get("/items/{item}")
    async def item(item: str) -> str:
        return item

    observe(app, requests={"trusted_proxies": ["0.0.0.0/0"], "bind": {"who": ["header:cookie", "query:q"]}})
    answer = await ask(app, path=path, headers=headers, query=b"q=%ff&&=&q=%zz")
    assert answer.raised is None
    assert answer.status == status
    one_access_line(lines, answer.id, status)
    scrape = await ask(app, path="/metrics", headers=headers)
    assert scrape.status == 200


async def test_secrets_of_a_bad_request_are_nowhere(app: FastAPI, lines: Lines) -> None:
    """Tokens in query, headers, cookies and body are in no line and in no answer of a refused request."""
    secret = "s3cret-value-7"
    answer = await ask(
        app,
        "POST",
        "/orders",
        query=f"token={secret}".encode(),
        headers=[*JSON, (b"authorization", f"Bearer {secret}".encode()), (b"cookie", f"session={secret}".encode())],
        body=f'{{"name": "a", "amount": "{secret}", "password": "{secret}"}}'.encode(),
    )
    assert answer.status == 422
    assert secret not in answer.body.decode()
    assert secret not in str(answer.headers)
    assert secret not in str(lines())
