"""`belvedere report`: every feature of an application, on or off, and why."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import click

from belvedere.cli.application import Application, load
from belvedere.cli.failure import BadUse
from belvedere.settings import Settings, SettingsError
from belvedere.wiring import Observability, observe
from belvedere.wiring.findings import Finding, findings, wrapped

_COLORS = {"on": "green", "off": "bright_black"}


@click.command()
@click.argument("target", metavar="APP")
@click.option("--factory", is_flag=True, help="APP is a function that returns the application.")
@click.option(
    "--app-dir",
    "folder",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    help="Look for the module in DIR first, instead of the current directory.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@click.pass_context
def report(context: click.Context, target: str, *, factory: bool, folder: Path, as_json: bool) -> None:
    """Tell of every feature of APP whether it is on, and why.

    APP is module:attribute, as uvicorn takes it. An application that its module does not observe is observed for the
    report alone, with settings from the environment. Nothing is served and no request is made. Whatever the application
    itself prints or logs goes to stderr.

    \b
    Exit status:
      0  all is as the settings say
      1  something needs attention: something wraps the application outside
         Belvedere, a route of its own has the path of a probe or of the
         metrics, a metric of its own is hidden
      2  APP cannot be found, imported or observed
    """
    with redirect_stdout(sys.stderr):
        data = _examine(target, load(target, factory=factory, folder=folder))
    text = json.dumps(data, indent=2, ensure_ascii=False) if as_json else "\n".join(_table(data))
    click.echo(text, color=False if os.environ.get("NO_COLOR") else None)
    context.exit(1 if data["findings"] else 0)


def _examine(target: str, application: Application) -> dict[str, Any]:
    app = application.app
    observed = isinstance(getattr(app.state, "belvedere", None), Observability)
    with _observed(target, app, keep=observed) as observability:
        found: list[Finding] = [wrapped(wrapper) for wrapper in application.wrappers]
        return {
            "application": target,
            "service": observability.settings.service,
            "version": observability.settings.version,
            "environment": observability.settings.environment,
            "observed": observed,
            "features": observability.report(),
            "findings": found + findings(observability),
        }


@contextmanager
def _observed(target: str, app: Any, *, keep: bool) -> Iterator[Observability]:
    """Observe `app` as far as it goes without serving, and leave it as it was, unless it is to `keep` what it has."""
    built = app.middleware_stack
    try:
        observability = observe(app, settings=None if keep else Settings())
    except SettingsError as error:
        raise BadUse(str(error)) from None
    try:
        if built is None:
            # Which routes there are, and who wraps whom, is settled when the middleware is built: at the first request.
            app.middleware_stack = _build(target, app)
        yield observability
    finally:
        if not keep:
            observability.remove()
        app.middleware_stack = built


def _build(target: str, app: Any) -> Any:
    try:
        return app.build_middleware_stack()
    except Exception as error:
        raise BadUse(f"a middleware of {target} cannot be made: {type(error).__name__}: {error}") from None


def _table(data: dict[str, Any]) -> Iterator[str]:
    title = " ".join(filter(None, (data["service"], data["version"])))
    yield f"{data['application']}: {title}, environment {data['environment']}"
    if not data["observed"]:
        yield "Not observed by its module: observed for this report alone, with settings from the environment."
    yield ""
    width = max(map(len, data["features"]))
    for name, row in data["features"].items():
        state = click.style(f"{row['state']:<3}", fg=_COLORS[row["state"]])
        yield from _wrapped(f"{name:<{width}}  {state}  ", width + 7, row["why"])
    if data["findings"]:
        yield ""
        yield click.style("Needs attention", bold=True)
        for finding in data["findings"]:
            yield from _wrapped(f"{finding['feature']:<{width}}  ", width + 2, finding["finding"])
            yield from _wrapped(" " * (width + 2), width + 2, f"→ {finding['remedy']}")


def _wrapped(opening: str, indent: int, text: str) -> Iterator[str]:
    """Yield `text` behind `opening`, in lines that fit the terminal; in one line where there is none."""
    room = max(shutil.get_terminal_size().columns - indent, 20) if sys.stdout.isatty() else len(text) + 1
    first, *rest = textwrap.wrap(text, room) or [""]
    yield opening + first
    yield from (" " * indent + line for line in rest)
