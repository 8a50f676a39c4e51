"""Bad use: one message that says what to do, and exit status 2."""

from __future__ import annotations

import click


class BadUse(click.ClickException):
    """What was asked for cannot be done as it was asked."""

    exit_code = 2
