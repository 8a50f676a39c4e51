"""What interactions can be asked by, as query parameters."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from scholarships.schemas import HIGHEST_INTEGER

_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _written(value: Any) -> Any:
    # Pydantic also takes numbers, as seconds since 1970.
    if isinstance(value, str) and not _MOMENT.match(value):
        raise PydanticCustomError("datetime_format", "Input should be a moment such as 2027-01-31T12:00:00Z")
    return value


def _in_utc(value: datetime) -> datetime:
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError("datetime_range", "Input should be within the years 1 to 9999 of UTC") from None


Moment = Annotated[datetime, BeforeValidator(_written), AfterValidator(_in_utc)]
Text = Annotated[str, Field(min_length=1, max_length=255)]


class InteractionFilters(BaseModel):
    """What must be true of an interaction. What is no filter is refused: it would silently leave everything in."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    event_type: Text | None = None
    scholarship_id: Annotated[int, Field(ge=1, le=HIGHEST_INTEGER)] | None = None
    user_id: Text | None = None
    since: Moment | None = None
    """The first moment that counts; UTC where it names no time zone."""
    until: Moment | None = None
    """The first moment that no longer counts."""

    @field_validator("until")
    @classmethod
    def _in_order(cls, value: datetime | None, info: ValidationInfo) -> datetime | None:
        since = info.data.get("since")
        if value is not None and since is not None and value < since:
            raise PydanticCustomError("range", "Input should not be before since")
        return value

    def filters(self) -> dict[str, Any]:
        """Return them as Belvedere takes them."""
        return {
            "event": self.event_type,
            "subject": self.scholarship_id,
            "user": self.user_id,
            "since": self.since,
            "until": self.until,
        }


class InteractionQuery(InteractionFilters):
    """A page of interactions."""

    limit: Annotated[int, Field(ge=1, le=1_000)] = 50
    """How many at most."""
    after: Annotated[str, Field(max_length=200)] | None = None
    """The `next` of the page before."""


class SummaryQuery(InteractionFilters):
    """How many interactions there were."""

    bucket: Literal["minute", "hour", "day", "week", "month"] | None = None
    """The stretches of time to count in; none counts all of it as one."""
