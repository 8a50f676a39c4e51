"""Names of tables and columns are settings, so they are checked."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table

from belvedere.interactions.table import define


@pytest.mark.parametrize(
    "arguments",
    [
        {"name": "interactions; DROP TABLE users"},
        {"name": 'x" (id int); --'},
        {"name": ""},
        {"name": "1st"},
        {"name": "t" * 64},
        {"name": "tabélle"},
        {"subject": "a b"},
        {"subject": "metadata"},
        {"subject": "id"},
        {"schema": "a.b"},
        {"subject_type": float},
    ],
)
def test_a_wrong_name_is_an_error(arguments: dict[str, Any]) -> None:
    """The message shows what was given."""
    with pytest.raises(ValueError, match=r"is no name|another column|is str or int") as raised:
        define(**arguments)
    assert repr(next(iter(arguments.values()))) in str(raised.value)


def test_long_names_have_indexes_of_their_own() -> None:
    """Names that a database would cut to the same text differ."""
    tables = [define(letter * 30 + "t" * 33, "subject_" + "s" * 50) for letter in "ab"]
    names = [str(index.name) for table in tables for index in table.indexes]
    assert len(set(names)) == 4
    assert all(len(name) <= 63 for name in names)


def test_a_table_of_the_applications_metadata_is_taken() -> None:
    """Twice the same table is one; one that lacks columns is an error."""
    metadata = MetaData()
    assert define(metadata=metadata) is define(metadata=metadata)
    Table("other", metadata, Column("id", Integer))
    with pytest.raises(ValueError, match="a table other without event_id, event_type"):
        define("other", metadata=metadata)
