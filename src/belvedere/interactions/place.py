"""Where a journal lies, unless somebody says where."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Final

from sqlalchemy import URL, Table

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.-]+")


def default_folder(url: URL, table: Table) -> Path:
    """Return the folder for the journals of a table: the same in every process that writes to it.

    Its name tells database and table, and nothing of who signs in there. Below `$XDG_STATE_HOME`, by default
    `~/.local/state` (XDG Base Directory Specification 0.8).

    Raises:
        RuntimeError: nobody knows the home of this user.
    """
    state = os.environ.get("XDG_STATE_HOME", "")
    # The specification has relative paths ignored.
    root = Path(state) if Path(state).is_absolute() else Path.home() / ".local" / "state"
    return root / "belvedere" / "interactions" / name(url, table)


def name(url: URL, table: Table) -> str:
    """Return `shop-interactions-1f0c3a9b`: database, table, and a digest of all that tells databases apart."""
    database = url.database or ""
    if url.get_backend_name() == "sqlite":
        database = os.path.abspath(database.removeprefix("file:").partition("?")[0])  # noqa: PTH100 - links stay
    whole = "\n".join(
        (url.get_backend_name(), url.host or "", str(url.port or ""), database, table.schema or "", table.name)
    )
    digest = hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    shown = _UNSAFE.sub("-", Path(database).stem)[:40].strip("-.") or "database"
    return f"{shown}-{table.name[:40]}-{digest}"


def is_in_memory(url: URL) -> bool:
    """Whether the database ends with the process: SQLite in memory."""
    if url.get_backend_name() != "sqlite":
        return False
    database = url.database or ""
    return (
        database in {"", ":memory:"}
        or database.startswith("file::memory:")
        or url.query.get("mode") == "memory"
        or (database.startswith("file:") and "mode=memory" in database)
    )
