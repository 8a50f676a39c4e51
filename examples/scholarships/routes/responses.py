"""What statuses mean here, for the documentation; Belvedere documents the shape that errors have."""

from __future__ import annotations

from typing import Any

Responses = dict[int | str, dict[str, Any]]

UNAUTHORIZED: Responses = {401: {"description": "No access token, or one that proves nothing"}}
WRONG_PASSWORD: Responses = {401: {"description": "No such user, or another password"}}
FORBIDDEN: Responses = {403: {"description": "Signed in, but not as somebody who may"}}
NOT_FOUND: Responses = {404: {"description": "There is no such scholarship"}}
NO_PAGE: Responses = {404: {"description": "There is no such page"}}
TOO_LARGE: Responses = {413: {"description": "The body is too large"}}
UNAVAILABLE: Responses = {503: {"description": "The database cannot be reached"}}
BUSY: Responses = {503: {"description": "The database cannot be reached, or too many sign in at once"}}
