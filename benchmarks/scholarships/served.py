"""What `uvicorn --workers` imports: the Scholarship API with as much of Belvedere as `LOAD_KEPT` says."""

from __future__ import annotations

import os

from benchmarks.scholarships.without import take_off_everything, take_off_parts

match os.environ["LOAD_KEPT"]:
    case "nothing":
        take_off_everything()
    case "observe":
        take_off_parts()

# Not before: the service takes Belvedere's names when it is imported, and its routes are made then.
from scholarships.service import create_app

app = create_app()
