"""Several workers, one service, under the servers that users run: what a scrape shows."""

from __future__ import annotations

import http.client
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from tests.processes.launch import DEADLINE, Process, Server, launch, wait_for
from tests.processes.load import Load
from tests.processes.several import SHOP, Connection, connected, end_by_force, left, settled, started

KILLS = 2
RECYCLED = int(os.environ.get("BELVEDERE_RECYCLED", "2000"))


def sum_of(lines: dict[str, float]) -> float:
    return sum(lines.values())


def test_one_scrape_shows_the_whole(tmp_path: Path) -> None:
    """Three workers that have counted different things show the same, each all of it; and none after a kill -9 less."""
    with launch("uvicorn", tmp_path, SHOP, workers=3, app="shop:both") as process:
        started(process, 3)
        with connected(process, 3) as connections:
            asked = _count_everywhere(connections)
            wait_for(lambda: all(_late(connection) for connection in connections), process)
            for connection in connections:
                _shows_all(connection, connections, asked)
            assert sum(int(connection.get("/reads")) for connection in connections) <= asked["scrapes"] + 100
            _exemplars(connections)
            gone, *stay = connections
            child = int(gone.get("/fork"))
            try:
                end_by_force(gone.pid, process)
                for connection in stay:
                    shown = connection.samples("g_of_pid", "g_each", "g_sum", "early_total", "declared_late_total")
                    assert str(gone.pid) not in repr(shown)
                    assert shown["g_sum"] == 2 + 3
                    assert shown['early_total{x="request"}'] == 3 + 2
                    assert shown["declared_late_total"] == 4
            finally:
                os.kill(child, signal.SIGKILL)
        started(process, 4)
        assert left(process)
        assert process.stop() in {0, -15}
        assert not left(process)
        assert "internal_error" not in process.stdout


def _count_everywhere(connections: list[Connection]) -> dict[str, int]:
    for number, connection in enumerate(connections, start=1):
        connection.get(f"/count/{number}")
        connection.get("/back/carts/7")
    connections[0].get("/late")
    return {"scrapes": 3}


def _late(connection: Connection) -> bool:
    shown = connection.samples("late_total", "declared_late_total")
    return shown == {"late_total": 3, "declared_late_total": 4}


def _shows_all(connection: Connection, connections: list[Connection], asked: dict[str, int]) -> None:
    shown = connection.samples()
    pids = [other.pid for other in connections]
    assert shown['http_requests_total{endpoint="/count/{number}",method="GET",status="200"}'] == 3
    assert not [line for line in shown if "carts" in line]
    assert shown['http_request_duration_seconds_count{endpoint="/count/{number}",method="GET"}'] == 3
    assert {name: shown[f"g_{name}"] for name in ("sum", "max", "min", "latest")} == {
        "sum": 6,
        "max": 3,
        "min": 1,
        "latest": 3,
    }
    assert [shown[f'g_each{{pid="{pid}"}}'] for pid in pids] == [1, 2, 3]
    assert [shown[f'g_of_pid{{worker="{pid}"}}'] for pid in pids] == [1, 1, 1]
    assert (shown["s_bytes_count"], shown["s_bytes_sum"]) == (3, 6)
    assert [shown[f'h_seconds_bucket{{le="{bound}"}}'] for bound in ("0.1", "1.0", "+Inf")] == [0, 1, 3]
    assert (shown["h_seconds_count"], shown["h_seconds_sum"]) == (3, 6)
    assert shown["part_calls_total"] == 3
    assert shown['early_total{x="import"}'] == 6
    assert shown['early_total{x="request"}'] == 3
    assert shown["tasks_open"] == 42
    assert shown['build_info{version="7"}'] == 1
    assert shown['state{state="up"}'] == 1
    assert shown["custom_things"] == 11
    assert shown["process_resident_memory_bytes"] > 3 * 20e6
    assert shown["process_cpu_seconds_total"] > 0
    assert any(line.startswith("python_gc_collections_total") for line in shown)
    assert sum_of({line: value for line, value in shown.items() if line.startswith("python_info")}) == 1
    mounted = connection.samples("http_requests_total", path="/back/metrics")
    assert mounted == {'http_requests_total{endpoint="/carts/{number}",method="GET",status="200"}': 3}


def _exemplars(connections: list[Connection]) -> None:
    """A sampled request's trace id is an exemplar of the merged histogram, whoever is asked."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    connections[0].get("/count/1", traceparent=f"00-{trace}-b7ad6b7169203331-01")
    deadline = time.monotonic() + DEADLINE
    for connection in connections:
        while True:
            text = connection.get("/metrics", accept="application/openmetrics-text;version=1.0.0")
            found = [
                sample.exemplar.labels["trace_id"]
                for family in parse_openmetrics(text)  # type: ignore[no-untyped-call]
                for sample in family.samples
                if sample.exemplar is not None
            ]
            if trace in found:
                break
            assert time.monotonic() < deadline, text
            time.sleep(0.05)
    connections[0].get("/count/1")


def test_no_sum_goes_back_when_workers_are_killed(tmp_path: Path) -> None:
    """Under load two workers are killed: scrapes from any worker only rise, and no answered request is lost.

    A kill may take one count with it, as `docs/servers.md` says: it is made some microseconds after the last byte, on a
    busy machine more, and the worker that is killed is the one whose answer was read last.
    """
    with launch("uvicorn", tmp_path, SHOP, workers=3) as process:
        started(process, 3)
        load = Load(process.port, "/worker", connections=8)
        end = load.begin()
        seen: list[float] = []
        try:
            for kills in range(KILLS):
                before = load.answered
                wait_for(lambda at=before + 300: load.answered > at, process)  # type: ignore[misc]
                _scrape_some(process, seen)
                os.kill(int(load.last), signal.SIGKILL)
                _scrape_some(process, seen)
                started(process, 4 + kills)
            _scrape_some(process, seen)
        finally:
            end()
        _scrape_some(process, seen)
        print(f"{load.answered} answered, {load.broken} broken by kills, {seen[-1]:.0f} counted, {len(seen)} scrapes")
        assert seen == sorted(seen)
        assert load.broken > 0
        assert load.answered - KILLS <= seen[-1] <= load.answered + load.broken
        assert set(load.statuses) == {200}
        assert process.stop(signal.SIGINT) in {0, -2, 130}
        assert not left(process)


def _scrape_some(process: Process, seen: list[float]) -> None:
    for _ in range(12):
        with suppress(OSError, http.client.HTTPException):
            seen.append(_counted(process, "/worker"))


def _counted(process: Process, endpoint: str) -> float:
    """Return how many requests were answered, as any worker tells that takes a new connection."""
    connection = Connection(process.port)
    try:
        return connection.samples("http_requests_total")[
            f'http_requests_total{{endpoint="{endpoint}",method="GET",status="200"}}'
        ]
    finally:
        connection.close()


@pytest.mark.timeout(300 if RECYCLED <= 2000 else 900)
def test_recycled_workers_lose_nothing(tmp_path: Path) -> None:
    """gunicorn replaces each worker after 200 requests: the sum is what was answered, and the folder does not grow.

    `BELVEDERE_RECYCLED=50000` makes it as many requests; 2,000 otherwise.
    """
    requests = RECYCLED
    options = ("--max-requests", "200")
    with launch("gunicorn", tmp_path, SHOP, *options, workers=2, app="shop:both") as process:
        started(process, 2)
        load = Load(process.port, "/count/1", connections=4)
        load.run(requests)
        recycled = process.stdout.count('"application_stopped"')
        settled(process, 2)
        counted = 0.0

        def all_counted() -> bool:
            # A worker counts a moment after its answer was read, and the one that is asked may just have had its 200.
            nonlocal counted
            with suppress(OSError, http.client.HTTPException):
                counted = _counted(process, "/count/{number}")
            return counted >= load.answered

        wait_for(all_counted, process)
        files = [path.name for folder in left(process) for path in folder.iterdir()]
        print(f"{load.answered} answered, {load.broken} broken, {counted:.0f} counted, {recycled} workers recycled")
        # More often where it is quicker: one that is told to stop finishes what it has.
        assert recycled >= max(3, requests // 800)
        assert counted == load.answered
        assert len(files) <= 3 + 4 * 4, files
        settled(process, 2)
        assert process.stop() in {0, -15}
        assert not left(process)
        assert "internal_error" not in process.stdout


def test_a_worker_that_is_replaced_while_it_is_the_only_one(tmp_path: Path) -> None:
    """hypercorn sends no worker a signal: what one counted stays when it is replaced, and goes with the service.

    It closes a connection while the last request on it is being answered, now and then: the service answered that one,
    and says so, though nobody received it.
    """
    with launch("hypercorn", tmp_path, SHOP, "--max-requests", "20", workers=1) as process:
        started(process, 1)
        load = Load(process.port, "/count/1", connections=1)
        load.run(50)
        line = 'http_requests_total{endpoint="/count/{number}",method="GET",status="200"}'
        with connected(process, 1) as (connection,):
            counted = connection.samples("http_requests_total")[line]
        wait_for(lambda: process.stdout.count('"path":"/count/1"') == counted, process)
        assert load.answered <= counted <= load.answered + load.broken
        replaced = process.stdout.count('"application_stopped"')
        assert replaced >= 2
        started(process, replaced + 1)
        assert process.stop() == 0
        assert not left(process)


@pytest.mark.parametrize(
    ("server", "options", "kill", "stop"),
    [
        ("gunicorn", ("--preload",), True, signal.SIGINT),
        ("granian", ("--respawn-failed-workers",), True, signal.SIGTERM),
        ("hypercorn", (), False, signal.SIGTERM),
        # Its supervisor is slow to replace who was killed: a connection waits for the other one meanwhile.
        ("uvicorn", ("--lifespan", "off", "--timeout-keep-alive", "120"), True, signal.SIGTERM),
    ],
)
def test_under_each_server(
    server: Server, options: tuple[str, ...], kill: bool, stop: signal.Signals, tmp_path: Path
) -> None:
    """Each worker shows all, one that was killed is missed by no sum, and nothing is left after a clean stop."""
    with launch(server, tmp_path, SHOP, *options, workers=2) as process:
        if "off" not in options:
            started(process, 2)
        with connected(process, 2) as connections:
            for connection in connections:
                connection.get("/count/1")
            line = 'http_requests_total{endpoint="/count/{number}",method="GET",status="200"}'
            for connection in connections:
                wait_for(lambda c=connection: c.samples("http_requests_total").get(line) == 2, process)  # type: ignore[misc]
            if kill:
                end_by_force(connections[0].pid, process)
                assert connections[1].samples("http_requests_total")[line] == 2
        if kill and "off" not in options:
            started(process, 3)
        with connected(process, 2) as connections:
            for connection in connections:
                assert connection.samples("http_requests_total")[line] == 2
        assert left(process)
        # As by Ctrl-C, which all processes get: gunicorn's alone has uvicorn's workers wait to be killed.
        os.killpg(process.pid, stop) if stop == signal.SIGINT else process.signal(stop)
        process.ended()
        assert not left(process), [path.name for path in left(process)[0].iterdir()]
        assert "internal_error" not in process.stdout
