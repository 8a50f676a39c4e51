"""What parts see of a worker: all that needs no requests."""

from __future__ import annotations

from typing import Any, NoReturn

from belvedere.parts import SLO, Closer, Observer
from belvedere.wiring.host import AppHost


class WorkerHost(AppHost):
    """The host of one worker; `installing` is the part that it is asked by."""

    installing: Any = None

    def objective(self, objective: SLO) -> None:
        """Refuse it: what it promises is about requests."""
        refuse(self.installing or objective)

    def observer(self, observer: Observer) -> None:
        """Take it; there is no request that it could hear of, and its part may do more than that."""

    def closer(self, closer: Closer) -> None:
        """Refuse it."""
        refuse(self.installing or closer)


def refuse(part: Any) -> NoReturn:
    """Say that a part is of no use here.

    Raises:
        TypeError: always, naming it.
    """
    name = getattr(part, "name", None)
    called = f"{type(part).__name__}({name!r})" if isinstance(name, str) else type(part).__name__
    raise TypeError(
        f"{called} is about HTTP requests, and a Celery worker has none: give it to observe(app) of the web "
        "application, and leave it out of observe(celery_app)"
    )
