"""Writing scholarships: an admin all of them, a partner its own."""

from __future__ import annotations

from fastapi import HTTPException

from scholarships.auth.tokens import Identity
from scholarships.drafts import ScholarshipChanges, ScholarshipDraft
from scholarships.models import Scholarship
from scholarships.repository import Scholarships
from scholarships.schemas import Role


class OwnedScholarships:
    """The scholarships, as those may change them who have a role that writes.

    What is not there is a 404, what is somebody else's a 403: everybody can read all of them, so that a 404 would hide
    nothing and only mislead.
    """

    def __init__(self, scholarships: Scholarships) -> None:
        self._scholarships = scholarships

    async def create(self, draft: ScholarshipDraft, by: Identity) -> Scholarship:
        """Store a new one, which belongs to whoever made it."""
        return await self._scholarships.add(draft.model_dump(), owner=by.sub)

    async def change(self, id: int, changes: ScholarshipChanges, by: Identity) -> Scholarship:
        """Change what was given; of two who do so at once, the later one wins."""
        changed = await self._scholarships.change(id, changes.model_dump(exclude_unset=True), owner=_whose(by))
        return changed or await self._refuse(id)

    async def remove(self, id: int, by: Identity) -> None:
        """Delete one."""
        if not await self._scholarships.remove(id, owner=_whose(by)):
            await self._refuse(id)

    async def _refuse(self, id: int) -> Scholarship:
        if await self._scholarships.get(id) is None:
            raise HTTPException(404)
        raise HTTPException(403, "This scholarship belongs to somebody else")


def _whose(identity: Identity) -> str | None:
    return None if identity.role is Role.ADMIN else identity.sub
