"""Half a minute of the soak; `make soak` takes longer."""

from pathlib import Path

from tests.soak.soak import soak


def test_everything_adds_up(tmp_path: Path) -> None:
    """Counts, lines and ids equal the load generator's own through errors, departures and kills; memory is flat."""
    result = soak(tmp_path, 30)
    assert result.faults == [], result.text()
    assert result.kills >= 3
    assert result.requests > 300  # a machine that measures coverage of all processes at the same time did 900
