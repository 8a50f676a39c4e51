"""Interactions under every trouble that workers, databases and disks have: `python -m tests.endurance`."""
