"""Where a journal lies, unless somebody says where."""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Final
from weakref import WeakKeyDictionary

from sqlalchemy import URL, Table

from belvedere.interactions.journal import folder as folders

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.-]+")
_MARK: Final = ".table"
"""A link that leads nowhere: its text says whose journal is beside it."""


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
    return f"{_shown(Path(database).stem, 40)}-{table.name[:40]}-{digest}"


def own(folder: Path, url: URL, table: Table) -> Path:
    """Make a folder that was given, and return where in it the journal of a table lies: a folder below, where another
    table's is there already. Never raises.

    Whoever finds a dead worker's events writes them to its own table, so two services must not share a folder. Host and
    port do not tell tables apart here: what waits while a database moves belongs where it has moved to.
    """
    mark = name(url, table)
    if url.get_backend_name() != "sqlite":
        mark = _shown(f"{url.database}-{table.fullname}", 120)
    try:
        folders.make(folder)
        with suppress(FileExistsError):
            (folder / _MARK).symlink_to(mark)  # whole from the first moment, unlike a file
        return folder if os.readlink(folder / _MARK) == mark else folder / mark  # noqa: PTH115 - of one type
    except (OSError, ValueError):
        return folder  # The journal itself tells why it cannot be there.


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


def journal_folder(url: URL, table: Table, asked: str | Path | bool | None) -> tuple[Path | None, str]:
    """Return the folder of a journal; or `None`, and why there is none."""
    if asked is None or asked is False:
        return None, "journal in memory, as it was asked for"
    if is_in_memory(url):
        return None, "journal in memory, as the database is"
    if asked is not True:
        return Path(asked).absolute(), ""
    try:
        return default_folder(url, table), ""
    except RuntimeError:
        return None, "journal in memory, as nobody knows this user's home: give journal= a folder"


def hindrance(folder: Path) -> str | None:
    """Return why a folder that nobody has made yet will not be had, as far as that can be told without making it."""
    there = next((place for place in (folder, *folder.parents) if os.path.lexists(place)), folder)
    if not os.path.isdir(there):  # noqa: PTH112 - it never raises
        return f"{there} is no folder"
    return None if os.access(there, os.W_OK | os.X_OK) else f"{there} cannot be written to"


def _shown(text: str, longest: int) -> str:
    return _UNSAFE.sub("-", text)[:longest].strip("-.") or "database"


_shared: WeakKeyDictionary[object, tuple[Path, str]] = WeakKeyDictionary()


def share(owner: object, folder: Path | None, name: str) -> None:
    """Remember whose journal is where, as long as `owner` lives.

    Raises:
        ValueError: another table's journal is there: its events would come into this one.
    """
    if folder is None:
        return
    for other, others in _shared.values():
        if other == folder and others != name:
            raise ValueError(f"interactions: the journal of another table ({others}) is in {folder}: choose another")
    _shared[owner] = (folder, name)
