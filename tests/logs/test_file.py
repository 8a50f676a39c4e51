"""The log file beside stdout."""

from __future__ import annotations

from pathlib import Path

import pytest

from belvedere import failures
from belvedere.logs import get_logger
from belvedere.logs.file import LogFile
from tests.logs.conftest import Start
from tests.logs.lines import line, parsed


def test_a_file_gets_every_line_as_well(start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its folder is made, what was in it stays, and it holds JSON also when people read stdout."""
    path = tmp_path / "logs" / "app.log"
    logs = start(path=str(path))
    get_logger("app").info("first")
    logs.remove()
    logs = start(path=str(path), format="console")
    get_logger("app").info("second")
    assert logs.access is not None
    logs.remove()
    assert parsed(path.read_bytes()) == [line("info", "app", "first"), line("info", "app", "second")]
    assert "second" in capsys.readouterr().out


def test_a_rotated_file_is_begun_anew(tmp_path: Path) -> None:
    """When logrotate has moved the file away, or somebody deleted it, lines go to a new one within a second."""
    path = tmp_path / "app.log"
    now = [0.0]
    file = LogFile(str(path), clock=lambda: now[0])
    file.write(b"1\n")
    path.rename(tmp_path / "app.log.1")
    now[0] = 0.9
    file.write(b"2\n")
    now[0] = 1.9
    file.write(b"3\n")
    now[0] = 2.95
    file.write(b"4\n")
    path.unlink()
    now[0] = 4.0
    file.write(b"5\n")
    path.rename(tmp_path / "app.log.2")
    path.write_bytes(b"theirs\n")
    now[0] = 5.1
    file.write(b"6\n")
    file.close()
    file.close()
    assert (tmp_path / "app.log.1").read_bytes() == b"1\n2\n"
    assert (tmp_path / "app.log.2").read_bytes() == b"5\n"
    assert path.read_bytes() == b"theirs\n6\n"


def test_a_file_that_cannot_be_opened_stops_nothing(
    start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is reported once, stdout gets every line, and the file as soon as it can be opened."""
    (tmp_path / "file").write_text("")
    start(path=str(tmp_path / "file" / "app.log"))
    get_logger("app").info("here")
    written = parsed(capsys.readouterr().out)
    assert [item["event"] for item in written] == ["here", "internal_error"]
    assert failures.counts == {"logs": 1}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_file_that_cannot_be_written_stops_nothing() -> None:
    """A full disk is counted as a failure of ours."""
    file = LogFile("/dev/full")
    file.write(b"1\n")
    file.close()
    assert failures.counts == {"logs": 1}
