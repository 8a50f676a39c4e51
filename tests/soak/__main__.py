"""`python -m tests.soak [MINUTES]`: the soak, three minutes by default, and its accounts.

The exit code is 1 where they do not add up.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.soak.soak import soak

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
        result = soak(Path(folder), minutes * 60, print)
    print(result.text())
    sys.exit(bool(result.faults))
