"""What applications use to test their own telemetry: a pytest plugin with three fixtures.

It is there wherever Belvedere is installed (`-p no:belvedere` leaves it out), and does nothing until a test asks for

- `belvedere_logs`: the log lines of this test, as they leave the process;
- `belvedere_metrics`: what metrics have gained since the test began;
- `belvedere_spans`: the OpenTelemetry spans that ended in this test.

What they are made of is imported when they are asked for.
"""

from belvedere.testing.logs import CapturedLogs, belvedere_logs
from belvedere.testing.metrics import MetricDeltas, belvedere_metrics
from belvedere.testing.spans import CapturedSpans, belvedere_spans

__all__ = ["CapturedLogs", "CapturedSpans", "MetricDeltas", "belvedere_logs", "belvedere_metrics", "belvedere_spans"]
