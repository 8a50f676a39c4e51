"""What scholarships are made and changed with: bodies, held to what the answers promise."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from scholarships.filters import Amount, day, lower, number, without_nul
from scholarships.schemas import Level

LONGEST_DESCRIPTION = 5_000

_EXAMPLE: dict[str, Any] = {
    "title": "Tidal Energy Fellowship",
    "provider": "Harbour Foundation",
    "description": "Supports research on tidal turbines, with a season at sea.",
    "amount": 18000,
    "deadline": "2027-09-30",
    "field_of_study": "Engineering",
    "level": "doctoral",
    "country": "Ireland",
    "min_gpa": 3.1,
    "url": "https://harbour-foundation.example/tidal-energy",
}


def _text(most: int) -> Any:
    return StringConstraints(strip_whitespace=True, min_length=1, max_length=most)


# Space around a text does not count, so that there has to be something else: for the documentation alone.
_SOMETHING = Field(json_schema_extra={"pattern": r"^[^\u0000]*[^\s\u0000][^\u0000]*$"})

Line = Annotated[str, _text(200), _SOMETHING, AfterValidator(without_nul)]
Name = Annotated[str, _text(100), _SOMETHING, AfterValidator(without_nul)]
Description = Annotated[str, _text(LONGEST_DESCRIPTION), _SOMETHING, AfterValidator(without_nul)]
Deadline = Annotated[date, BeforeValidator(day)]
GradePointAverage = Annotated[float, Field(ge=0, le=4, allow_inf_nan=False), BeforeValidator(number)]
AnyLevel = Annotated[Level, BeforeValidator(lower)]
# People follow it from a page: nothing but the web, and no `https://known-name@elsewhere`.
Url = Annotated[str, Field(max_length=500, pattern=r"^https?://[^\s\x00-\x1f\x7f/?#@\\]+([/?#][^\s\x00-\x1f\x7f]*)?$")]


def _changes(schema: dict[str, Any]) -> None:
    schema |= {"minProperties": 1, "examples": [{"amount": 20000}]}
    for field in schema["properties"].values():
        field.pop("default", None)


# Never stored, as only what was given is; null itself is refused but for `min_gpa`, so that it is not documented.
_ABSENT: Any = None


class _Draft(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ScholarshipDraft(_Draft):
    """A new scholarship."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    title: Line
    provider: Line
    description: Description
    amount: Amount
    """US dollars a year."""
    deadline: Deadline
    """The last day to apply."""
    field_of_study: Name
    level: AnyLevel
    country: Name
    min_gpa: GradePointAverage | None = None
    """The grade point average that is asked for, of 4.0; null where grades do not matter."""
    url: Url


class ScholarshipChanges(_Draft):
    """What is to be different about a scholarship; the rest stays as it is."""

    model_config = ConfigDict(json_schema_extra=_changes)

    title: Line = _ABSENT
    provider: Line = _ABSENT
    description: Description = _ABSENT
    amount: Amount = _ABSENT
    deadline: Deadline = _ABSENT
    field_of_study: Name = _ABSENT
    level: AnyLevel = _ABSENT
    country: Name = _ABSENT
    min_gpa: GradePointAverage | None = _ABSENT
    url: Url = _ABSENT

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set:
            raise PydanticCustomError("too_short", "Give at least one field to change")
        return self
