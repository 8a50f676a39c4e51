"""The documents say what is: every setting, metric, log event and key is there, and nothing that is not."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import json
import logging
import os
import re
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from fastapi import FastAPI, WebSocket
from fastapi.testclient import TestClient
from pydantic import BaseModel

import belvedere
from belvedere import failures
from belvedere.conventions import Event
from belvedere.logs import hooks, output
from belvedere.ratelimit.availability import Availability
from belvedere.settings import Settings, environment
from belvedere.testing import CapturedLogs
from belvedere.tracing.queue import Queue, Send
from docs import tables
from tests.ports import free_port

_numbers = itertools.count()
DOCS = Path(__file__).parent.parent / "docs"


def rows(text: str) -> list[list[str]]:
    """The cells of the tables in a text, without those that head them."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    heads = {at for at, row in enumerate(cells) if set(row) == {"---"}}
    return [row for at, row in enumerate(cells) if at not in heads and at + 1 not in heads]


def section(document: str, heading: str) -> str:
    text = (DOCS / document).read_text(encoding="utf-8")
    return text.partition(f"\n{heading}\n")[2].partition("\n#")[0]


@pytest.mark.parametrize("document", sorted(path.name for path in DOCS.glob("*.md")))
def test_tables_are_what_the_code_says(document: str) -> None:
    """Each table is what `python -m docs.tables` writes."""
    text = (DOCS / document).read_text(encoding="utf-8")
    assert tables.written(text, tables.tables()) == text


def test_every_table_is_somewhere() -> None:
    """No table of settings or metrics is left out of the documents."""
    text = "".join(path.read_text(encoding="utf-8") for path in DOCS.glob("*.md"))
    assert sorted(re.findall(r"<!-- table: ([a-z.]+) -->", text)) == sorted(tables.tables())


def test_every_setting_is_explained() -> None:
    """Each field of each class of settings has a docstring, and a row in `docs/settings.md`."""
    fields: dict[str, type[BaseModel]] = {"": Settings, **dict(tables.groups())}
    assert [
        f"{name}.{field}"
        for name, group in fields.items()
        for field, info in group.model_fields.items()
        if not info.description
    ] == []
    documented = {row[0] for row in rows((DOCS / "settings.md").read_text(encoding="utf-8"))}
    features = fields.keys() - {""}
    assert {
        f"`{name}.{field}`".replace("`.", "`")
        for name, group in fields.items()
        for field in group.model_fields
        if field not in features or name
    } <= documented


def test_lists_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every setting that is a list may be one with commas in its variable, as the document says."""
    samples = {
        "REQUESTS__TRUSTED_PROXIES": "10.0.0.0/8,::1",
        "REQUESTS__EXCLUDE": "/a,/b",
        "LOGS__REDACT": "tax_id,pin",
        "LOGS__ALLOW": "token,email",
        "METRICS__ALLOW": "10.0.0.0/8,::1",
        "METRICS__BUCKETS": "0.1,0.5",
        "HEALTH__LIVE_FIELDS": "service,version",
        "TRACING__EXCLUDE": "/a,/b",
    }
    for name, text in samples.items():
        monkeypatch.setenv(f"BELVEDERE_{name}", text)
    settings = Settings()
    lists = {
        f"{name}__{field}".upper(): value
        for name, _ in tables.groups()
        for field, value in getattr(settings, name)
        if isinstance(value, tuple)
    }
    assert {name: len(value) for name, value in lists.items()} == dict.fromkeys(samples, 2)


KNOWN_VARIABLES: dict[str, tuple[dict[str, str], Any]] = {
    "OTEL_SERVICE_NAME": ({"OTEL_SERVICE_NAME": "shop"}, "shop"),
    "APP_VERSION": ({"APP_VERSION": "1.2"}, "1.2"),
    "ENVIRONMENT": ({"ENVIRONMENT": "staging"}, "staging"),
    "OTEL_RESOURCE_ATTRIBUTES": ({"OTEL_RESOURCE_ATTRIBUTES": "a=b,service.name=shop"}, "shop"),
    "LOG_LEVEL": ({"LOG_LEVEL": "WARN"}, "warning"),
    "FORWARDED_ALLOW_IPS": ({"FORWARDED_ALLOW_IPS": "*"}, "(IPv4Network('0.0.0.0/0'), IPv6Network('::/0'))"),
    "OTEL_SDK_DISABLED": ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, None),
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": (
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"},
        "http://t",
    ),
    "OTEL_EXPORTER_OTLP_ENDPOINT": ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, "http://c"),
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": (
        {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
        "grpc",
    ),
    "OTEL_EXPORTER_OTLP_PROTOCOL": ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "grpc"),
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS": (
        {"OTEL_EXPORTER_OTLP_TRACES_HEADERS": "a=b", "OTEL_EXPORTER_OTLP_HEADERS": "c=d"},
        {"a": "b"},
    ),
    "OTEL_EXPORTER_OTLP_HEADERS": ({"OTEL_EXPORTER_OTLP_HEADERS": "c=d"}, {"c": "d"}),
    "OTEL_TRACES_SAMPLER": ({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, 0.0),
    "OTEL_TRACES_SAMPLER_ARG": ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"}, 0.1),
}
"""Of each variable of the document: what is set, and what its setting is then."""


def known_rows() -> list[list[str]]:
    return rows(section("settings.md", "## Variables that others have made common"))


def test_every_known_variable_is_documented() -> None:
    """The document names the variables that are read, and no others."""
    read = set(re.findall(r'"((?:[A-Z]+_)*[A-Z]+)"', inspect.getsource(environment.KnownVariables)))
    documented = {row[0].strip("`") for row in known_rows()}
    assert documented == read | {"NO_COLOR"} == KNOWN_VARIABLES.keys() | {"NO_COLOR"}


@pytest.mark.parametrize("variable", sorted(KNOWN_VARIABLES))
def test_known_variables_set_what_the_document_says(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each variable of the document sets its setting; the more particular one wins."""
    for name in list(os.environ):
        if name in KNOWN_VARIABLES or name.startswith("BELVEDERE_"):
            monkeypatch.delenv(name)
    variables, expected = KNOWN_VARIABLES[variable]
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    setting: Any = Settings()
    (place,) = [row[1].strip("`") for row in known_rows() if row[0] == f"`{variable}`"]
    for part in place.split("."):
        setting = getattr(setting, part)
    assert setting == expected or repr(setting) == expected


def documented_events() -> dict[str, set[str]]:
    """The events of `docs/logs.md`, each with its keys."""
    text = (DOCS / "logs.md").read_text(encoding="utf-8").partition("\n## Events\n")[2]
    parts = re.split(r"^### `(\w+)`$", text, flags=re.MULTILINE)[1:]
    return {
        event: {row[0].strip("`") for row in rows(body)} for event, body in zip(parts[::2], parts[1::2], strict=True)
    }


def test_every_event_is_documented() -> None:
    """The document has a section for each event that Belvedere logs, and for no other."""
    events = {value for name, value in vars(Event).items() if not name.startswith("_")}
    assert documented_events().keys() == events


def private() -> None:
    """Have a scrape refused, on a port that was taken at first."""
    app = FastAPI()
    with socket.create_server(("", free_port())) as taken:
        port = taken.getsockname()[1]
        observability = belvedere.observe(app, settings=Settings(metrics={"port": port, "token": "s3cret"}))
        with TestClient(app):
            taken.close()
            deadline = time.monotonic() + 60
            while observability.report()["metrics"]["why"] != f"at /metrics on port {port}":
                assert time.monotonic() < deadline
                time.sleep(0.01)
            with pytest.raises(HTTPError, match="401"):
                urlopen(f"http://127.0.0.1:{port}/metrics")
    observability.remove()


async def lost_and_found() -> None:
    """Have the store of rate limits go away and come back."""
    back = asyncio.Event()

    async def probe() -> None:
        asyncio.get_running_loop().call_soon(back.set)

    availability = Availability("redis://cache:6379/0", probe, interval=0.0)
    availability.lost(ConnectionError("refused"))
    await asyncio.wait_for(back.wait(), 60)
    assert not availability.away


@pytest.fixture
def lines(belvedere_logs: CapturedLogs, tmp_path: Path) -> CapturedLogs:
    """One line at least of each event that can be had in one process."""
    app = FastAPI(title="Shop")
    passing = [False, True]

    @app.get("/orders/{order_id}")
    async def order(order_id: int) -> int:
        if order_id == 0:
            raise RuntimeError("broken")
        logging.getLogger("shop").info("stacked", stack_info=True)
        return order_id

    @app.websocket("/ws")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()

    async def blocking() -> None:
        time.sleep(0.11)  # noqa: ASYNC251 - what such a check should not do

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        raise RuntimeError("broken")

    app.router.lifespan_context = lifespan
    checks = [belvedere.Check("database", lambda: passing.pop(0)), belvedere.Check("search", blocking)]
    levels = tmp_path / "levels.json"
    settings = Settings(
        health={"interval": 0, "cache": 0}, problems={"format": "envelope"}, logs={"levels": str(levels)}
    )
    observability = belvedere.observe(app, *checks, settings=settings)
    with suppress(RuntimeError), TestClient(app, raise_server_exceptions=False) as client:
        for path in ("/orders/7", "/orders/0", "/orders/x", "/absent", "/readyz", "/readyz"):
            client.get(path, headers={"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
        with client.websocket_connect("/ws"):
            pass
    private()
    asyncio.run(lost_and_found())
    # Of each feature one failure a minute is logged, and nothing else has this name.
    failures.contain(f"documentation {next(_numbers)}", RuntimeError("broken"))
    assert output.active is not None
    output.active._notice(3)
    assert observability._logs is not None
    assert observability._logs.level_file is not None
    for text in ("no JSON", '{"level": "debug"}'):
        levels.write_text(text)
        observability._logs.level_file.look()
    _print_by_itself()
    Queue("traces", _nowhere, limit=1, batch=1, delay=1)._tell("refused", 1)
    observability.remove()
    return belvedere_logs


def _nowhere() -> tuple[Send, Callable[[], None]]:
    raise AssertionError("nothing is sent")


def _print_by_itself() -> None:
    """What Python prints by itself; pytest has hooks of its own in the place of those that are called here."""
    error = LookupError("lost")
    thread = threading.current_thread()
    hooks._uncaught_in_thread(SimpleNamespace(exc_type=LookupError, exc_value=error, exc_traceback=None, thread=thread))
    hooks._ignored(
        SimpleNamespace(exc_type=LookupError, exc_value=error, exc_traceback=None, err_msg=None, object=error)
    )


def test_every_key_is_documented(lines: CapturedLogs) -> None:
    """What lines hold is in the document: the keys of every line, and those of each event."""
    common = {row[0].strip("`") for row in rows(section("logs.md", "## Keys of every line"))}
    documented = documented_events()
    seen: dict[str, set[str]] = {}
    for line in lines:
        if line["event"] in documented:
            seen.setdefault(line["event"], set()).update(line.keys() - common)
    sometimes = {"disconnected", "errors_omitted", "process_name"}
    assert {event: keys - sometimes for event, keys in documented.items() if event != Event.DRAINING} == seen
    assert set(lines.one("stacked", logger="shop")) <= common


def test_the_line_in_the_document_is_one_of_today(lines: CapturedLogs) -> None:
    """The example has the keys of an access line, in its order."""
    text = (DOCS / "logs.md").read_text(encoding="utf-8")
    example = json.loads(text.partition("```json\n")[2].partition("```")[0])
    line = lines.one("request_processed", status=200, path="/orders/7")
    assert [key for key in example if key != "user_id"] == [key for key in line if key != "span_id"]
