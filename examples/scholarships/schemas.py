"""What answers look like."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

HIGHEST_INTEGER = 2_147_483_647
"""What an INTEGER of PostgreSQL holds."""


class Level(StrEnum):
    """What one studies for."""

    UNDERGRADUATE = "undergraduate"
    GRADUATE = "graduate"
    DOCTORAL = "doctoral"
    POSTDOCTORAL = "postdoctoral"
    VOCATIONAL = "vocational"


class Role(StrEnum):
    """What a user may do: `admin` everything, `partner` its own scholarships, `student` what everybody may."""

    ADMIN = "admin"
    PARTNER = "partner"
    STUDENT = "student"


class _Answer(BaseModel):
    model_config = ConfigDict(from_attributes=True, frozen=True, use_attribute_docstrings=True)


class ScholarshipOut(_Answer):
    """A scholarship."""

    id: Annotated[int, Field(ge=1, le=HIGHEST_INTEGER)]
    title: Annotated[str, Field(max_length=200)]
    provider: Annotated[str, Field(max_length=200)]
    description: str
    amount: Annotated[int, Field(ge=0, le=HIGHEST_INTEGER)]
    """US dollars a year."""
    deadline: date
    """The last day to apply."""
    field_of_study: Annotated[str, Field(max_length=100)]
    level: Level
    country: Annotated[str, Field(max_length=100)]
    min_gpa: Annotated[float, Field(ge=0, le=4)] | None
    """The grade point average that is asked for, of 4.0; null where grades do not matter."""
    url: str


class ScholarshipHit(ScholarshipOut):
    """A scholarship that was searched for."""

    score: float
    """How well the text fits, the higher the better, comparable within one answer; 0 without a text."""


class ScholarshipPage(_Answer):
    """A part of a list."""

    items: list[ScholarshipOut]
    total: int
    """How many there are over all pages."""
    limit: int
    offset: int


class ScholarshipHits(_Answer):
    """A part of what was found, the best first."""

    items: list[ScholarshipHit]
    total: int
    """How many there are over all pages."""
    limit: int
    offset: int


class AccessToken(_Answer):
    """What signing in gives (RFC 6749, section 5.1)."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"
    expires_in: int
    """Seconds."""


class Me(_Answer):
    """Who is signed in."""

    username: str
    role: Role


class InteractionOut(_Answer):
    """Something that somebody did, and how it was answered."""

    id: int
    event_id: str
    event_type: str
    user_id: str | None
    """Null where nobody was signed in."""
    scholarship_id: int | None
    path: str
    method: str
    status: int
    """499 where the caller left before the answer."""
    trace_id: str | None
    metadata: dict[str, Any]
    """Query parameters or search filters, without what is secret or personal."""
    created_at: datetime


class InteractionPage(_Answer):
    """A part of the interactions, the newest first."""

    items: list[InteractionOut]
    next: str | None
    """What `after` takes for the page that follows; null on the last one."""


class InteractionSummaryRow(_Answer):
    """How often something happened."""

    event_type: str
    start: datetime | None
    """When the stretch of time begins; null without stretches."""
    count: int
    users: int
    """How many different users were signed in."""
    first: datetime
    last: datetime
    statuses: dict[str, int]
    """How many answers of each class: `2xx`, `4xx`, …"""


class InteractionSummary(_Answer):
    """How often each event happened."""

    items: list[InteractionSummaryRow]


class ServiceInfo(_Answer):
    """The service, and where to go from here."""

    name: str
    version: str
    status: Literal["running"]
    docs: str
    health: str
    ready: str
    metrics: str | None
    """Null where metrics are switched off."""
