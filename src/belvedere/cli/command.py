"""The command itself, which the others belong to."""

from __future__ import annotations

import click

from belvedere.cli.logconfig import logconfig
from belvedere.cli.report import report


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="belvedere", prog_name="belvedere", message="%(prog)s %(version)s")
def command() -> None:
    """Observability for FastAPI: look at what belvedere.observe makes of an application.

    Exit status: 0 done, 1 a finding, 2 bad use.
    """


command.add_command(report)
command.add_command(logconfig)
