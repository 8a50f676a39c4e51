"""What the commands say, and their exit codes, where they do not serve."""

from __future__ import annotations

import importlib
import signal
import socket
import sys
from pathlib import Path

import pytest

from scholarships.__main__ import main

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database that does not exist yet."""
    file = tmp_path / "scholarships.db"
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{file}")
    return file


@pytest.mark.parametrize("command", ["demo", "serve"])
def test_taken_port(command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where another program has the port, the service says so, and what to do, and nothing else."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("PORT", str(port))
        assert main([command]) == 2
    assert capsys.readouterr() == (
        "",
        f"Another program listens on port {port} of 127.0.0.1. Choose another one by PORT, any free one by PORT=0.\n",
    )


def test_no_address(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An address that this machine does not have is told as well."""
    monkeypatch.setenv("HOST", "192.0.2.1")
    assert main(["serve"]) == 2
    assert capsys.readouterr().err.startswith("The service cannot listen on port 8000 of 192.0.2.1: ")


def test_migrate(sqlite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`migrate` brings the database up to date, however often."""
    for _ in range(2):
        assert main(["migrate"]) == 0
        assert capsys.readouterr() == ("The database is up to date.\n", "")
    assert sqlite.exists()


def test_migrate_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`migrate` says when it cannot reach the database, without its password."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:hidden@127.0.0.1:1/none")
    assert main(["migrate"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("The database cannot be migrated: ")
    assert "hidden" not in said.err


@pytest.mark.parametrize("command", ["demo", "serve", "migrate"])
def test_unsafe(command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """In production an unsafe configuration stops each command with the one message."""
    monkeypatch.setenv("ENVIRONMENT", "prod")
    monkeypatch.setenv("DEMO_PASSWORD", "hidden")
    assert main([command]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    names = [line.split()[0] for line in said.err.splitlines()[1:]]
    assert names == ["DATABASE_URL", "JWT_ISSUER", "JWT_AUDIENCE", "JWT_KEYS", "DEMO_PASSWORD"]
    assert "hidden" not in said.err


def test_no_demo_in_production(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """There is no demo in production, however safe the configuration."""
    for name, value in {
        "ENVIRONMENT": "prod",
        "DATABASE_URL": "postgresql://db/scholarships",
        "JWT_ISSUER": "https://id.example.org",
        "JWT_AUDIENCE": "scholarships",
        "JWT_KEYS": '{"2027-01": "kT9vQ2xW7mZ4pL8sR1nY6bD3fH5jC0aE"}',
    }.items():
        monkeypatch.setenv(name, value)
    assert main(["demo"]) == 2
    text = "The demo is for development; with ENVIRONMENT=prod there are `migrate` and `serve`.\n"
    assert capsys.readouterr() == ("", text)


def test_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    """A command that does not exist is answered with those that do."""
    with pytest.raises(SystemExit) as left:
        main(["dance"])
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert all(command in said for command in ("demo", "serve", "migrate"))


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_wrong_settings_of_belvedere(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Settings of Belvedere that are wrong are told in its one message."""
    monkeypatch.setenv("BELVEDERE_HEALTH__CACHE", "long")
    monkeypatch.setenv("PORT", "0")
    before = [signal.getsignal(number) for number in SIGNALS]
    try:
        assert main([command]) == 2
    finally:
        for number, handler in zip(SIGNALS, before, strict=True):
            signal.signal(number, handler)
    said = capsys.readouterr()
    assert said.out == ""
    assert "Belvedere cannot start, its settings are wrong:\n  health.cache (BELVEDERE_HEALTH__CACHE): " in said.err


def test_by_other_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """`scholarships.main:app` is the application of the environment, for any server."""
    monkeypatch.setenv("ENVIRONMENT", "dev")
    app = importlib.import_module("scholarships.main").app
    assert (app.title, app.state.config.environment) == ("Scholarship API", "dev")
    app.state.belvedere.remove()
    del sys.modules["scholarships.main"]
