"""`belvedere logconfig`: a logging configuration for the processes of a server that load no application."""

from __future__ import annotations

import json
from pathlib import Path

import click

from belvedere.cli.failure import BadUse
from belvedere.logs import logconfig as configuration
from belvedere.settings import Settings, SettingsError


@click.command()
@click.option("--out", "path", metavar="FILE", type=click.Path(path_type=Path), help="Write to FILE instead of stdout.")
def logconfig(path: Path | None) -> None:
    """Print a logging configuration for uvicorn --log-config.

    It is JSON. The lines of a supervisor, of a reloader and of the moments before the application is loaded then look
    like all others. Settings come from the environment: BELVEDERE_SERVICE, BELVEDERE_LOGS__LEVEL and their like.

    \b
    Example:
      belvedere logconfig --out logging.json
      uvicorn shop.main:app --workers 4 --log-config logging.json
    """
    try:
        text = json.dumps(configuration(Settings()), indent=2, ensure_ascii=False) + "\n"
    except SettingsError as error:
        raise BadUse(str(error)) from None
    if path is None:
        click.echo(text, nl=False)
        return
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadUse(f"{path} cannot be written: {error.strerror}. Name a file in a folder that exists.") from None
