"""The backends are the same wherever they are named: addresses, Docker, Collector, `make`, workflow and documents."""

from __future__ import annotations

import re
import shlex
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml  # type: ignore[import-untyped]

from tests.backends.addresses import ADDRESSES, address, needed
from tests.ports import free_port

ROOT = Path(__file__).parent.parent.parent
HERE = Path("tests/backends")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / HERE / "compose.yaml").read_text(encoding="utf-8"))["services"]


def text(path: str | Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def recipe() -> list[str]:
    """Return the words of what `make backends` runs."""
    (found,) = re.findall(r"^backends:.*\n((?:\t.*\n)+)", text("Makefile"), re.MULTILINE)
    return shlex.split(found.replace("\\\n", " "))


def test_docker_serves_each_address() -> None:
    """What the tests ask is what compose.yaml publishes, on loopback alone."""
    published = [port.rsplit(":", 1)[0] for service in COMPOSE.values() for port in service["ports"]]
    urls = [urlsplit(at) for variable, at in ADDRESSES.items() if variable != "OTLP_FILE"]
    assert sorted(published) == sorted(url.netloc for url in urls)
    assert {url.hostname for url in urls} == {"127.0.0.1"}


def test_the_collector_is_where_docker_looks_for_it() -> None:
    """Its ports and its file, within the container, are those that compose.yaml hands out."""
    collector = COMPOSE["collector"]
    configuration = yaml.safe_load(text(HERE / "collector.yaml"))
    taken = [protocol["endpoint"] for protocol in configuration["receivers"]["otlp"]["protocols"].values()]
    assert sorted(f"{port.rsplit(':', 1)[1]}" for port in collector["ports"]) == sorted(
        at.rpartition(":")[2] for at in taken
    )
    assert {pipeline["exporters"][0] for pipeline in configuration["service"]["pipelines"].values()} == {"file"}
    assert collector["command"] == ["--config=/collector.yaml"]
    mounts = dict(reversed(mount.removesuffix(":ro").split(":")) for mount in collector["volumes"])
    assert mounts["/collector.yaml"] == "./collector.yaml"
    inside = Path(collector["environment"]["OTLP_FILE"])
    assert ROOT / HERE / mounts[str(inside.parent)] / inside.name == Path(ADDRESSES["OTLP_FILE"])


def test_elasticsearch_is_as_new_as_its_client() -> None:
    """A client asks for answers of its own major version."""
    (client,) = re.findall(r"^elasticsearch==(\d+)", text("requirements/dev.lock"), re.MULTILINE)
    assert COMPOSE["elasticsearch"]["image"].startswith(f"elasticsearch:{client}.")


def test_make_requires_what_tests_ask_for() -> None:
    """`make backends` runs each file of tests that asks for a backend, and has them fail without one."""
    words = recipe()
    assert words[0] == "REQUIRE_BACKENDS=1"
    asking = re.compile(r"backends\.addresses|elasticsearch_url")
    files = {
        str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py") if asking.search(path.read_text())
    }
    assert files - {str(Path(__file__).relative_to(ROOT))} < set(words)


def test_nothing_else_reads_the_variables() -> None:
    """No test asks the environment on its own: it would be skipped where its backend is required."""
    reads = re.compile(rf"environ\W.*({'|'.join(ADDRESSES)})")
    assert [path for path in (ROOT / "tests").rglob("*.py") if reads.search(path.read_text(encoding="utf-8"))] == []


def test_the_workflow_starts_them() -> None:
    """The public workflow starts the containers before it tests with them; `.ci/run` does neither."""
    workflow = yaml.safe_load(text(".github/workflows/ci.yml"))
    steps = [step["run"] for step in workflow["jobs"]["backends"]["steps"] if "run" in step]
    docker = f"docker compose --file {HERE}/compose.yaml"
    assert steps == [f"{docker} up --detach --wait", "make services", "make backends", f"{docker} logs"]
    assert workflow["jobs"]["backends"]["env"] == {"REQUIRE_SERVERS": "1"}
    assert "backends" not in text(".ci/run").lower()


def test_contributors_are_told() -> None:
    """CONTRIBUTING.md has the variables, and the two commands."""
    told = text("CONTRIBUTING.md")
    assert [variable for variable in ADDRESSES if f"`{variable}`" not in told] == []
    assert f"docker compose -f {HERE}/compose.yaml up -d --wait\nmake backends\n" in told


@pytest.fixture
def listening() -> Iterator[str]:
    """The URL of a port where somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_backend_that_is_named_is_asked(listening: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An address is the variable's; without one the test is skipped, and it fails where nothing answers."""
    for variable in ("REQUIRE_BACKENDS", *ADDRESSES):
        monkeypatch.delenv(variable, raising=False)
    assert address("JAEGER_URL") is None
    with pytest.raises(pytest.skip.Exception, match=r"no JAEGER_URL, OTLP_FILE: CONTRIBUTING\.md"):
        needed("JAEGER_URL", "OTLP_FILE")
    monkeypatch.setenv("JAEGER_URL", listening)
    assert needed("JAEGER_URL") == [listening]
    monkeypatch.setenv("OTLP_FILE", str(tmp_path / "otlp.jsonl"))
    with pytest.raises(pytest.fail.Exception, match=r"OTLP_FILE: nothing is at .*otlp\.jsonl"):
        needed("JAEGER_URL", "OTLP_FILE")


def test_required_backends(listening: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `REQUIRE_BACKENDS=1` there is an address for each variable, and no test is skipped."""
    monkeypatch.setenv("REQUIRE_BACKENDS", "1")
    monkeypatch.delenv("JAEGER_URL", raising=False)
    monkeypatch.setitem(ADDRESSES, "JAEGER_URL", listening)
    assert needed("JAEGER_URL") == [listening]
    silent = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setitem(ADDRESSES, "JAEGER_URL", silent)
    with pytest.raises(pytest.fail.Exception, match=f"JAEGER_URL: nothing is at {silent}"):
        needed("JAEGER_URL")
