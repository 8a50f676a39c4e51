"""The container and compose files of the Scholarship API are valid, and say what the service needs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from uvicorn.main import main as uvicorn_command

from scholarships.config import Config

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "examples" / "scholarships"
CONTAINER_FILE = FOLDER / "Containerfile"
COMPOSE_FILE = FOLDER / "compose.yaml"


def _tool(name: str) -> str:
    """Return a program of this environment; the older versions' environments do not have it."""
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip(f"{name} is not installed in this environment")
    return found


def _services() -> Mapping[str, Any]:
    services: Mapping[str, Any] = _compose()["services"]
    return services


def _compose() -> Mapping[str, Any]:
    yaml = pytest.importorskip("ruamel.yaml")
    compose: Mapping[str, Any] = yaml.YAML(typ="safe").load(COMPOSE_FILE)
    return compose


def _command() -> list[str]:
    """Return what the container runs."""
    text = CONTAINER_FILE.read_text().replace("\\\n", "")
    command: list[str] = json.loads(re.findall(r"^CMD (\[.*\])$", text, re.MULTILINE)[-1])
    return command


def test_container_file_passes_hadolint() -> None:
    """hadolint has nothing to say, with all of its rules on."""
    done = subprocess.run(
        [_tool("hadolint"), "--no-color", CONTAINER_FILE], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("", 0)


def test_compose_file_is_valid() -> None:
    """The compose file conforms to the schema of the compose specification."""
    checked = [_tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(COMPOSE_FILE)]
    done = subprocess.run(checked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_compose_file_names_what_there_is() -> None:
    """Services, networks and volumes that are named are defined, and none is defined for nothing."""
    compose = _compose()
    services = compose["services"]
    assert {name for service in services.values() for name in service.get("depends_on", {})} <= services.keys()
    assert {name for service in services.values() for name in service["networks"]} == compose["networks"].keys()
    mounted = {mount.partition(":")[0] for service in services.values() for mount in service.get("volumes", [])}
    assert mounted == compose["volumes"].keys()
    for service in services.values():
        if "build" in service:
            assert (FOLDER / service["build"]["context"]).resolve() == ROOT
            assert ROOT / service["build"]["dockerfile"] == CONTAINER_FILE


def test_every_service_is_confined() -> None:
    """No service may write but to its volumes, gain a right, or keep a capability; none runs as root."""
    for name, service in _services().items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "build" in service or service["user"] not in {"root", "0"}, name
        assert "privileged" not in service
    assert re.findall(r"^USER (.*)$", CONTAINER_FILE.read_text(), re.MULTILINE) == ["10001:10001"]


def test_only_the_application_is_reachable() -> None:
    """The application alone has a port, on the loopback interface; the others are in a network without a way out."""
    compose = _compose()
    ports = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert ports == {"app": ["127.0.0.1:${PORT:-8000}:8000"]}
    assert compose["networks"]["back"] == {"internal": True}
    assert [name for name, service in compose["services"].items() if service["networks"] != ["back"]] == ["app"]


def test_there_is_no_secret_in_it() -> None:
    """What is secret comes from the environment, and what is needed stops the start where it is missing."""
    for service in _services().values():
        for name, value in service.get("environment", {}).items():
            if name in {"POSTGRES_PASSWORD", "JWT_KEYS"}:
                assert value == f"${{{name}:?is missing in .env}}"
            elif name == "DATABASE_URL":
                assert value.partition("://")[2].partition("@")[0].endswith(":${POSTGRES_PASSWORD:?is missing in .env}")
            elif name == "DEMO_PASSWORD":
                assert value == "${DEMO_PASSWORD:-}"
    container = CONTAINER_FILE.read_text()
    assert not re.search(r"^(ARG|ENV).*(PASSWORD|SECRET|TOKEN|KEY)", container, re.MULTILINE)


def test_the_environment_is_the_configuration() -> None:
    """Each variable is one that the service knows, and none that can be set is left out but address and metrics."""
    for name in ("app", "migrate"):
        given = {variable.lower() for variable in _services()[name]["environment"]}
        assert given <= Config.model_fields.keys()
        assert Config.model_fields.keys() - given <= {"host", "port", "enable_metrics"}


@pytest.mark.parametrize("extra", ["interactions", "limits", "otel", "redis", "sqlalchemy"])
def test_all_that_can_be_set_is_installed(extra: str) -> None:
    """The lock that `make demo` and the container install has what the settings need of Belvedere's extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {re.match(r"[a-z-]+", text)[0] for text in project["optional-dependencies"][extra]}  # type: ignore[index]
    needed -= {"opentelemetry-exporter-otlp-proto-grpc"}  # traces go by HTTP
    locked = re.findall(r"^([a-z-]+)==", (ROOT / "requirements" / "demo.lock").read_text(), re.MULTILINE)
    assert needed <= set(locked)


def test_health_is_readiness() -> None:
    """A container is healthy when the service is ready, and all that the service waits for says when it is."""
    services = _services()
    checks = [services["app"]["healthcheck"]["test"][1:]]
    text = CONTAINER_FILE.read_text().replace("\\\n", "")
    checks.append(json.loads(re.findall(r"HEALTHCHECK .* CMD (\[.*\])", text)[0]))
    for check in checks:
        assert check[:2] == ["python", "-c"]
        compile(check[2], "healthcheck", "exec")
        assert "'http://127.0.0.1:8000/readyz'" in check[2]
    waits = {**services["app"]["depends_on"], **services["migrate"]["depends_on"]}
    assert waits == {
        "migrate": {"condition": "service_completed_successfully"},
        "limits": {"condition": "service_healthy"},
        "database": {"condition": "service_healthy"},
    }
    assert all("test" in services[name]["healthcheck"] for name in ("limits", "database"))


def test_what_it_runs_is_understood(tmp_path: Path) -> None:
    """uvicorn takes the command of the container, which is four workers of the service; migrating is a command, too."""
    program, *arguments = _command()
    (tmp_path / "logging.json").write_text("{}")
    arguments = [str(tmp_path / each) if each == "logging.json" else each for each in arguments]
    assert program == "uvicorn"
    parameters = uvicorn_command.make_context(program, arguments).params
    assert (parameters["app"], parameters["workers"], parameters["port"]) == ("scholarships.main:app", 4, 8000)
    assert (parameters["access_log"], parameters["server_header"]) == (False, False)
    command = _services()["migrate"]["command"]
    done = subprocess.run(
        [sys.executable, *command[1:], "--help"], cwd=ROOT / "examples", capture_output=True, text=True, check=False
    )
    assert (command[0], done.returncode) == ("python", 0), done.stderr


def test_what_is_copied_is_in_the_context() -> None:
    """Everything that the container file copies is there, and is let into the context, which nothing else is."""
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    let_in = {rule[1:] for rule in rules if rule.startswith("!")}
    copied: set[str] = set()
    for line in re.findall(r"^COPY (?!--from)(.*)$", CONTAINER_FILE.read_text(), re.MULTILINE):
        copied |= set(line.split()[:-1])
    assert rules[0] == "*"
    assert copied == let_in
    assert all((ROOT / each).exists() for each in copied)
