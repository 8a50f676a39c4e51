"""Logs of real servers: a reader that stalls, several workers on one pipe, levels that change while they run."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import termios
import threading
import time
from array import array
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.stalled import DEADLINE, Found, Line, Service, measure, service, told, until


def test_a_reader_that_stalls_does_not_stop_the_service() -> None:
    """Requests are answered as before and memory stays bounded; lines are read or counted as dropped, by the metric
    while nobody reads and by the log once somebody does; none is half; the end comes soon all the same."""
    looks = [measure()]
    # What else runs on this machine may spoil one look; it does not spoil four.
    while len(looks) < 4 and not as_quick(looks[-1]):
        looks.append(measure())
    found = looks[-1]
    assert as_quick(found)
    assert found.stalled.resident - found.reading.resident < 16 * 2**20
    assert found.dropped > 0
    assert found.read + found.dropped == found.written
    assert found.told == [found.dropped]
    assert found.whole
    assert found.end < 20


def test_with_block_the_service_waits_and_nothing_is_lost() -> None:
    """Neither while it serves nor at its end: all lines arrive in order once reading goes on; probes wait as well."""
    with service(environment={"BELVEDERE_LOGS__ON_FULL": "block"}) as shop:
        shop.reads.clear()
        answered: list[bytes] = []

        def ask() -> None:
            with contextlib.suppress(OSError, http.client.HTTPException):  # when the server stops
                for size in (*[9_000] * 10, 90_000):
                    answered.append(shop.get(f"/say/10?size={size}"))  # noqa: PERF401 - each when it comes

        asking = threading.Thread(target=ask)
        asking.start()
        until(lambda: full(shop) and not probed(shop))
        assert len(answered) < 10
        shop.reads.set()
        asking.join(DEADLINE)
        assert len(answered) == 11
        until(lambda: sum(line["event"] == "request_processed" for line in shop.lines()) == 11)
        shop.reads.clear()
        asking = threading.Thread(target=ask)
        asking.start()
        until(lambda: full(shop) and not probed(shop))
        ended: list[float] = []
        ending = threading.Thread(target=lambda: ended.append(shop.end()))
        ending.start()
        ending.join(1.5)
        assert ended == []
        shop.reads.set()
        ending.join(DEADLINE)
        asking.join(DEADLINE)
        shop.read_all()
        assert len(ended) == 1
        lines = shop.lines()
        assert shop.whole()
        numbers = [line["number"] for line in lines if line["event"] == "said"]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) >= 110 + 10
        assert told(lines) == []
        assert lines[-1]["event"].startswith("Finished server process")


def test_four_workers_on_one_pipe(tmp_path: Path) -> None:
    """Lines of 10 to 100 KB stay whole; a file changes the level of all workers within moments, and back."""
    path = tmp_path / "levels.json"
    with service(
        "--workers", "4", "--timeout-worker-healthcheck", "20", environment={"BELVEDERE_LOGS__LEVELS": str(path)}
    ) as shop:
        until(lambda: sum(line["event"] == "application_started" for line in shop.lines()) == 4)
        asked = 0

        def several_spoke() -> bool:
            # On a busy machine one worker may be quick enough to take all of them.
            nonlocal asked
            asked += 80
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda n: say(shop, lines=10, size=10_000 * (n % 10 + 1)), range(80)))
            until(lambda: sum(line["event"] == "said" for line in shop.lines()) + sum(told(shop.lines())) >= 10 * asked)
            return len({line["pid"] for line in shop.lines() if line["event"] == "said"}) > 1

        until(several_spoke)

        began = change(path, {"level": "DEBUG", "quiet": {"whisper.standard": "info"}})
        changes = changed(shop, 4)
        assert [(line["from"], line["to"]) for line in changes] == [("info", "debug")] * 4
        assert len({line["pid"] for line in changes}) == 4
        assert max(seconds(line) for line in changes) - began < 10
        change(path, {"level": "debug"})
        assert {tuple(line["quiet"]) for line in changed(shop, 8)[4:]} == {()}
        whisper(shop)
        until(lambda: {line["logger"] for line in whispers(shop)} == {"talkative", "whisper.standard"})

        path.write_text('{"level": "error"')
        until(lambda: len([line for line in shop.lines() if line["event"] == "log_levels_refused"]) == 4)
        path.unlink()
        assert [(line["from"], line["to"]) for line in changed(shop, 12)[8:]] == [("debug", "info")] * 4
        heard = len(whispers(shop))
        whisper(shop)
        shop.end()
        shop.read_all()
        assert len(whispers(shop)) == heard
        assert shop.whole()


def as_quick(found: Found) -> bool:
    """Whether requests are answered as quickly while nobody reads, as far as a busy machine can tell."""
    return found.stalled.p99 < 3 * found.reading.p99 + 0.05


def full(shop: Service) -> bool:
    """Whether the pipe has no room for another line: a service that is slow to answer may just have no processor."""
    assert shop.process.stdout is not None
    unread = array("i", [0])
    fcntl.ioctl(shop.process.stdout, termios.FIONREAD, unread)
    return unread[0] > 32 * 1024


def probed(shop: Service) -> bool:
    """Whether liveness answers within moments."""
    connection = http.client.HTTPConnection("127.0.0.1", shop.port, timeout=1.5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except TimeoutError:
        return False
    finally:
        connection.close()


def say(shop: Service, *, lines: int, size: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", shop.port, timeout=DEADLINE)
    connection.request("GET", f"/say/{lines}?size={size}")
    assert connection.getresponse().status == 200
    connection.close()


def whisper(shop: Service) -> None:
    """Have some worker or other log what is not written by default."""
    for _ in range(8):
        shop.get("/whisper")


def whispers(shop: Service) -> list[Line]:
    return [line for line in shop.lines() if line["event"] == "whispered"]


def change(path: Path, content: object) -> float:
    """Put a new file into place, and return when."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(content))
    new.rename(path)
    return time.time()


def changed(shop: Service, number: int) -> list[Line]:
    """Wait for so many changes, and return them."""

    def found() -> list[Line]:
        return [line for line in shop.lines() if line["event"] == "log_level_changed"]

    until(lambda: len(found()) >= number)
    assert len(found()) == number
    return found()


def seconds(line: Line) -> float:
    return datetime.fromisoformat(line["timestamp"]).astimezone(UTC).timestamp()
