"""The plugin: its fixtures are there once Belvedere is installed, and can be left out."""

from __future__ import annotations

from pathlib import Path

from tests.testing.inner import run_pytest


def test_the_plugin_is_there_once_belvedere_is_installed(tmp_path: Path) -> None:
    """The fixtures need no configuration; what a test logs is printed once, as without them."""
    printed = run_pytest(
        tmp_path,
        """
        import belvedere
        from fastapi import FastAPI

        belvedere.observe(FastAPI(), settings=belvedere.Settings(logs={"format": "json"}))

        def test_logs(belvedere_logs, belvedere_metrics):
            belvedere.get_logger("shop").info("printed_once")
            assert belvedere_logs.events == ["printed_once"]
        """,
        "-s",
    )
    assert printed.count("printed_once") == 1
    assert "1 passed" in printed


def test_each_fixture_is_explained(tmp_path: Path) -> None:
    """`pytest --fixtures` shows what each one is for."""
    printed = run_pytest(tmp_path, "", "--fixtures")
    for name, explained in {
        "belvedere_logs": "The log lines of this test, as they leave the process; they are written as ever, too.",
        "belvedere_metrics": "What metrics have gained since this test began: those of requests, declared ones, and",
        "belvedere_spans": "The OpenTelemetry spans that ended in this test; skips it where the SDK is not installed.",
    }.items():
        before, _, after = printed.partition(f"{name} -- ")
        assert before != printed
        assert after.splitlines()[1].strip().startswith(explained)


def test_the_plugin_can_be_left_out(tmp_path: Path) -> None:
    """`-p no:belvedere` leaves the fixtures out."""
    printed = run_pytest(tmp_path, "def test_logs(belvedere_logs): ...", "-p", "no:belvedere")
    assert "fixture 'belvedere_logs' not found" in printed
