"""Nobody changes what belongs to somebody else, whichever way it is asked for."""

from __future__ import annotations

from typing import Any

import pytest

from scholarships.schemas import Role
from tests.examples.scholarships.identities import bearer
from tests.examples.security.attack import Target
from tests.examples.security.test_tokens import DRAFT
from tests.processes.launch import Answer


def _made(service: Target, headers: dict[str, str]) -> dict[str, Any]:
    answer = service.ask("POST", "/scholarships", DRAFT, headers)
    assert answer.status == 201, answer.body
    made: dict[str, Any] = answer.json()
    return made


def _refused(answer: Answer) -> bool:
    return (answer.status, answer.json()["error"]) == (403, "http_403")


@pytest.mark.parametrize("owner", ["admin", "other partner", "nobody"])
def test_a_partner_changes_only_its_own(service: Target, owner: str) -> None:
    """A partner gets a 403 for an admin's, another partner's, and a sample's row, which stays as it was."""
    if owner == "nobody":
        row = service.ask("GET", "/scholarships/1").json()
    else:
        row = _made(service, bearer("admin") if owner == "admin" else bearer("elsewhere", Role.PARTNER))
    path = f"/scholarships/{row['id']}"
    assert _refused(service.ask("PATCH", path, {"amount": 2}, user="partner"))
    assert _refused(service.ask("DELETE", path, user="partner"))
    assert service.ask("GET", path).json() == row


def test_a_student_writes_nothing(service: Target) -> None:
    """A student gets a 403 for whatever writes, on rows that there are and on others alike."""
    for path in ("/scholarships/1", "/scholarships/999999"):
        assert _refused(service.ask("PATCH", path, {"amount": 2}, user="student"))
        assert _refused(service.ask("DELETE", path, user="student"))
    assert _refused(service.ask("POST", "/scholarships", DRAFT, user="student"))


@pytest.mark.parametrize("field", ["owner", "owner_id", "id", "created_by", "user_id", "role", "__class__"])
def test_nobody_names_an_owner(service: Target, field: str) -> None:
    """A field that is none of the document's is refused, in a new row and in a change."""
    row = _made(service, bearer("partner"))
    more = {field: "admin"}
    assert service.ask("POST", "/scholarships", DRAFT | more, user="partner").status == 422
    assert service.ask("PATCH", f"/scholarships/{row['id']}", {"amount": 3} | more, user="partner").status == 422
    assert service.ask("GET", f"/scholarships/{row['id']}").json() == row


def test_names_that_look_alike_own_nothing(service: Target) -> None:
    """A user whose name is another's but for capitals, spaces or what a pattern would match is somebody else."""
    row = _made(service, bearer("partner"))
    for name in ("Partner", "partner ", " partner", "p%", "partne_", "ｐartner", "partner\u200b"):
        answer = service.ask("DELETE", f"/scholarships/{row['id']}", headers=bearer(name, Role.PARTNER))
        assert answer.status in {401, 403}, name
    assert service.ask("GET", f"/scholarships/{row['id']}").status == 200


def test_a_method_in_a_header_is_none(service: Target) -> None:
    """The method of a request is the request's."""
    row = _made(service, bearer("admin"))
    for header in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        answer = service.ask(
            "GET", f"/scholarships/{row['id']}?_method=DELETE", headers={header: "DELETE"}, user="admin"
        )
        assert answer.json() == row
