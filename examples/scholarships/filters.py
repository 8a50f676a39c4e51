"""What a list and a search can be narrowed by, as query parameters and as a body."""

from __future__ import annotations

import re
from datetime import date
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from scholarships.schemas import HIGHEST_INTEGER, Level

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Sort(StrEnum):
    """An order; `-` turns it round."""

    DEADLINE = "deadline"
    LATEST_DEADLINE = "-deadline"
    AMOUNT = "amount"
    HIGHEST_AMOUNT = "-amount"
    TITLE = "title"
    TITLE_REVERSED = "-title"


def without_nul(value: str) -> str:
    """Refuse NUL."""
    # PostgreSQL's text holds every character but this one; SQLite takes it, and would then behave in another way.
    if "\0" in value:
        raise PydanticCustomError("string_nul", "Text must not have NUL characters")
    return value


def _text(value: str) -> str | None:
    return without_nul(value).strip() or None


def day(value: Any) -> Any:
    """Refuse what is not written as a day of the calendar."""
    # Pydantic also takes numbers, as seconds since 1970: 20270131 would silently be a day of that year.
    if value is None or type(value) is date or (isinstance(value, str) and _DAY.fullmatch(value)):
        return value
    raise PydanticCustomError("date_format", "Input should be a date such as 2027-01-31")


def number(value: Any) -> Any:
    """Refuse true and false, which Pydantic would take for 1 and 0."""
    if isinstance(value, bool):
        raise PydanticCustomError("number_type", "Input should be a number")
    return value


def lower(value: Any) -> Any:
    """Take a text in small letters or capitals."""
    return value.lower() if isinstance(value, str) else value


_WITHOUT_NUL = {"pattern": r"^[^\u0000]*$"}
"""For the documentation alone."""

Query = Annotated[str, Field(max_length=500, json_schema_extra=_WITHOUT_NUL), AfterValidator(_text)]
Name = Annotated[str, Field(max_length=100, json_schema_extra=_WITHOUT_NUL), AfterValidator(_text)]
Day = Annotated[date | None, BeforeValidator(day)]
Amount = Annotated[int, Field(ge=0, le=HIGHEST_INTEGER), BeforeValidator(number)]


class Filters(BaseModel):
    """What must be true of a scholarship; everything is optional, and all that is given has to be true."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    query: Query | None = None
    """Words that the title, provider, field, country or description have, in any order and inflection."""
    min_amount: Amount | None = None
    """US dollars a year, at least."""
    max_amount: Amount | None = None
    """US dollars a year, at most."""
    deadline_after: Day = None
    """The first deadline that counts."""
    deadline_before: Day = None
    """The last deadline that counts."""
    field_of_study: Name | None = None
    """The whole name of a field, in small letters or capitals."""
    level: Annotated[Level | None, BeforeValidator(lower)] = None
    country: Name | None = None
    """The whole name of a country, in small letters or capitals."""
    min_gpa: Annotated[float, Field(ge=0, le=4, allow_inf_nan=False), BeforeValidator(number)] | None = None
    """A grade point average of 4.0: what asks for a better one is left out."""

    @field_validator("max_amount", "deadline_before")
    @classmethod
    def _in_order(cls, value: Any, info: ValidationInfo) -> Any:
        lower = {"max_amount": "min_amount", "deadline_before": "deadline_after"}[str(info.field_name)]
        least = info.data.get(lower)
        if value is not None and least is not None and value < least:
            raise PydanticCustomError("range", "Input should not be less than {lower}", {"lower": lower})
        return value


class _Paged(Filters):
    limit: Annotated[int, Field(ge=1, le=100), BeforeValidator(number)] = 20
    """How many at most."""
    offset: Annotated[int, Field(ge=0, le=HIGHEST_INTEGER), BeforeValidator(number)] = 0
    """How many to pass over."""


class ListQuery(_Paged):
    """The query parameters of the list."""

    sort: Sort = Sort.DEADLINE


class SearchBody(_Paged):
    """The body of a search."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"query": "climate research", "min_amount": 10000, "level": "doctoral"}]},
    )
