"""Two instances behind a real proxy, restarted in turn."""

from tests.conftest import or_skip
from tests.processes.rolling import roll


def test_a_rolling_restart_loses_no_request() -> None:
    """Both instances are restarted under load, and every request of every client is answered 200.

    HAProxy looks at `/readyz` and retries nothing. `make rolling` is the same for longer, with the default drain.
    """
    with or_skip():
        outcome = roll(seconds=10, drain=3.0, interval="250ms", clients=3)
    assert set(outcome.answers) == {"200"}
    assert outcome.requests > 500
    assert outcome.codes == [0, 0]
    assert min(outcome.stopped) > 2.9
