"""What `uvicorn --workers` imports: the application of the row that `BENCHMARK_BUILD` names."""

from __future__ import annotations

import os

from benchmarks.variants import application

app = application(os.environ["BENCHMARK_BUILD"])
