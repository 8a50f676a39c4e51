"""Whether a database is where Alembic's scripts end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from belvedere.integrations.extras import require

_TABLE, _COLUMN = "alembic_version", "version_num"
"""Where Alembic keeps the revision, unless an application has it elsewhere."""


class NotMigratedError(Exception):
    """The database's revision is not the head of the scripts."""


class Migrations:
    """Compares a database with a folder of scripts.

    Args:
        place: the folder that has `env.py` and `versions`, or an `alembic.ini` that names it.

    Raises:
        ImportError: Alembic is not installed.
        ValueError: there are no scripts.
    """

    def __init__(self, place: str | Path) -> None:
        script = require("sqlalchemy(migrations=…)", "alembic.script", "alembic")
        place = Path(place)
        try:
            if place.is_file():
                from alembic.config import Config

                self._scripts: Any = script.ScriptDirectory.from_config(Config(str(place)))
            else:
                self._scripts = script.ScriptDirectory(str(place))
        except Exception as error:
            raise ValueError(f"integrations.sqlalchemy: {place} has no migrations of Alembic") from error
        self._heads: frozenset[str] | None = None
        self.passed = False

    @property
    def details(self) -> dict[str, Any]:
        return {"revision": ", ".join(sorted(self._heads or ()))}

    def read(self) -> None:
        """Read the scripts, once."""
        if self._heads is None:
            self._heads = frozenset(self._scripts.get_heads())

    def compare(self, connection: Any) -> None:
        """Note that the database is where the scripts end.

        Raises:
            NotMigratedError: it is elsewhere.
        """
        # Alembic's own context has all it does logged, here with each question.
        from sqlalchemy import column, inspect, select, table

        current: frozenset[str] = frozenset()
        if inspect(connection).has_table(_TABLE):
            current = frozenset(connection.execute(select(column(_COLUMN)).select_from(table(_TABLE))).scalars())
        if current != self._heads:
            raise NotMigratedError
        self.passed = True
