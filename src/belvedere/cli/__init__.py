"""The command line, `belvedere`: a file for each command. It needs the extra `cli`."""

from __future__ import annotations

import sys

_MISSING = "The command line of Belvedere needs an extra: pip install belvedere[cli]"


def main() -> None:
    """Run the command that the arguments name, and exit: 0 done, 1 a finding, 2 bad use."""
    try:
        from belvedere.cli.command import command
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        print(_MISSING, file=sys.stderr)
        sys.exit(2)
    command(prog_name="belvedere")
