"""`belvedere logconfig`: a logging configuration for the processes of a server that load no application."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import click

from belvedere.cli.failure import BadUse
from belvedere.logs import logconfig as configuration
from belvedere.logs import logconfig_ini
from belvedere.settings import Settings, SettingsError

SERVERS: Final = ("uvicorn", "gunicorn", "granian", "hypercorn")
_READ_INI: Final = frozenset({"gunicorn", "hypercorn"})
"""Servers whose `--log-config` is read by `logging.config.fileConfig`."""


@click.command()
@click.option(
    "--server",
    type=click.Choice(SERVERS),
    default="uvicorn",
    show_default=True,
    help="Write what --log-config of this server reads.",
)
@click.option("--out", "path", metavar="FILE", type=click.Path(path_type=Path), help="Write to FILE instead of stdout.")
def logconfig(server: str, path: Path | None) -> None:
    """Print a logging configuration for the --log-config of a server.

    The lines of a supervisor, of a reloader and of the moments before the application is loaded then look like all
    others. Settings come from the environment: BELVEDERE_SERVICE, BELVEDERE_LOGS__LEVEL and their like.

    It is JSON for uvicorn and granian, and INI for gunicorn and hypercorn. These two read the JSON as well:
    gunicorn --log-config-json FILE, hypercorn --log-config json:FILE.

    \b
    Examples:
      belvedere logconfig --out logging.json
      uvicorn shop.main:app --workers 4 --log-config logging.json

    \b
      belvedere logconfig --server gunicorn --out logging.ini
      gunicorn -k uvicorn_worker.UvicornWorker --log-config logging.ini shop.main:app
    """
    try:
        settings = Settings()
    except SettingsError as error:
        raise BadUse(str(error)) from None
    if server in _READ_INI:
        text = logconfig_ini(settings)
    else:
        text = json.dumps(configuration(settings), indent=2, ensure_ascii=False) + "\n"
    if path is None:
        click.echo(text, nl=False)
        return
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadUse(f"{path} cannot be written: {error.strerror}. Name a file in a folder that exists.") from None
