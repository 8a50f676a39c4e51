"""How the pass gets around an application, and off it again.

`build_middleware_stack` is wrapped on the instance, so that the pass is outside every middleware, also of those added
later. The application's own attributes stay as they are: handlers are lent for the moment in which the stack is
built.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from starlette.middleware.errors import ServerErrorMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware

from belvedere import failures
from belvedere.asgi import routes
from belvedere.asgi.foreign_spans import Adopter, makes_spans
from belvedere.asgi.native_telemetry import switch_off
from belvedere.asgi.plan import Plan
from belvedere.asgi.recorder import is_recorded, record
from belvedere.asgi.request_pass import RequestPass

Handlers = dict[Any, Callable[..., Any]]
"""Exception class or status to handler, as Starlette keeps them."""


class Attachment:
    """Puts a pass around `app`, and what it needs into every application mounted below.

    Args:
        app: a Starlette or FastAPI application, started or not.
        plan: what the pass works after.
        handlers: handlers used wherever the application has none of its own, or only its framework's default.
        on_adopt: told of each application that requests reach, the first one included.
    """

    def __init__(
        self,
        app: Any,
        plan: Plan,
        handlers: Handlers,
        on_adopt: Callable[[Any], Callable[[], None]] = lambda _: lambda: None,
    ) -> None:
        self.app = app
        self.plan = plan
        self.handlers = handlers
        self._on_adopt = on_adopt
        self._undo: list[Callable[[], None]] = []
        self._seen: set[int] = set()
        self._top: RequestPass | None = None
        self.spans_by: str | None = None
        """The module of a middleware that makes server spans inside the pass."""
        plan.on_mount = self._adopt
        routes.hook()
        self._wrap(app, outermost=True)

    @property
    def built(self) -> bool:
        """Whether the middleware has been put together, as it is by the first message."""
        return self._top is not None

    @property
    def topmost(self) -> bool:
        """Whether the pass is outermost; false once somebody wrapped the application after us."""
        return self.app.middleware_stack is None or self.app.middleware_stack is self._top

    def remove(self) -> None:
        """Take everything off again; a pass that somebody wrapped meanwhile stays, and lets everything through."""
        self.plan.active = False
        while self._undo:
            self._undo.pop()()
        routes.unhook()

    def _adopt(self, app: Any) -> None:
        if id(app) in self._seen:
            return
        # The reference keeps the id from being used again.
        self._seen.add(id(app))
        self._undo.append(lambda: self._seen.discard(id(app)))
        if hasattr(app, "build_middleware_stack") and hasattr(app, "exception_handlers"):
            self._wrap(app, outermost=False)

    def _wrap(self, app: Any, *, outermost: bool) -> None:
        self._seen.add(id(app))
        build = app.build_middleware_stack
        own_build = app.__dict__.get("build_middleware_stack")

        def build_middleware_stack() -> Any:
            if not self.plan.active:
                return build()
            # It will have our handlers in it: without us, it is built anew.
            self._undo.append(lambda: setattr(app, "middleware_stack", None))
            lent = self._lend(app)
            try:
                stack = build()
            finally:
                app.exception_handlers.clear()
                app.exception_handlers.update(lent)
            self._enter(app, stack)
            return self._outermost(stack) if outermost else stack

        app.build_middleware_stack = build_middleware_stack

        def give_build_back() -> None:
            if app.__dict__.get("build_middleware_stack") is not build_middleware_stack:
                return  # Somebody wrapped it after us; theirs calls ours, which is inactive now.
            if own_build is None:
                del app.build_middleware_stack
            else:
                app.build_middleware_stack = own_build

        self._undo.append(give_build_back)
        if app.middleware_stack is not None:
            self._enter(app, app.middleware_stack)
            self._furnish(app.middleware_stack)
            if outermost:
                app.middleware_stack = self._outermost(app.middleware_stack)
        if outermost:
            self._undo.append(self._unwrap)
        self._undo.append(self._on_adopt(app))

    def _outermost(self, stack: Any) -> RequestPass:
        try:
            if self.plan.on_build is not None:
                self.plan.on_build()
        except Exception as error:
            failures.contain("requests", error)
        self._top = RequestPass(stack, self.plan)
        return self._top

    def _unwrap(self) -> None:
        if self._top is not None and self.app.middleware_stack is self._top:
            self.app.middleware_stack = self._top.app

    def _lend(self, app: Any) -> Handlers:
        """Put our handlers into the application's, and return what was there."""
        before = dict(app.exception_handlers)
        for key, handler in self.handlers.items():
            if key in {500, Exception}:
                if not {500, Exception} & before.keys():
                    app.exception_handlers[key] = handler
            elif _is_framework_default(before.get(key)):
                app.exception_handlers[key] = handler
        return before

    def _enter(self, app: Any, stack: Any) -> None:
        """Have the error middleware of a built stack note exceptions, and errors keep their shape in debug mode."""
        errors = [layer for layer in _layers(stack) if isinstance(layer, ServerErrorMiddleware)]
        if not errors or is_recorded(errors[-1]):
            return
        # An instrumentation may have put one error middleware around another: the inner one answers.
        self._undo.append(record(errors[-1], errors[-1].handler or self.handlers.get(Exception)))
        if self.handlers:
            for layer in errors:
                self._change(layer, "debug", False)
        outer: Any = None
        for layer in _layers(stack):
            if makes_spans(layer):
                if app is not self.app and self.plan.exchanges is not None and outer is not None:
                    # Mounted below one whose spans are ours: a second one would begin here.
                    self._change(outer, "app", layer.app)
                    break
                self._change(layer, "app", Adopter(layer.app))
                self._undo.append(switch_off(app, spans=True))
                if app is self.app:
                    self.spans_by = type(layer).__module__
                break
            outer = layer

    def _change(self, layer: Any, name: str, value: Any) -> None:
        before = getattr(layer, name)
        setattr(layer, name, value)
        self._undo.append(lambda: setattr(layer, name, before))

    def _furnish(self, stack: Any) -> None:
        """Put our handlers into a stack that was built before we came."""
        exceptions = _find(stack, ExceptionMiddleware)
        if exceptions is None:
            return
        own: Handlers = exceptions._exception_handlers
        for key, handler in self.handlers.items():
            if key not in {500, Exception} and _is_framework_default(own.get(key)):
                before = own.get(key)
                own[key] = handler
                self._undo.append(lambda key=key, before=before: _put_back(own, key, before))  # type: ignore[misc]


def _put_back(handlers: Handlers, key: Any, before: Callable[..., Any] | None) -> None:
    if before is None:
        handlers.pop(key, None)
    else:
        handlers[key] = before


def _is_framework_default(handler: Any) -> bool:
    """Whether nobody wrote this handler for the application: it is absent, or FastAPI's or Starlette's own."""
    return handler is None or getattr(handler, "__module__", "").startswith(
        ("fastapi.exception_handlers", "starlette.middleware.exceptions")
    )


def _find(stack: Any, kind: type) -> Any:
    """Return the innermost middleware of that kind: where an instrumentation doubled one, that is the application's."""
    return next((layer for layer in reversed(list(_layers(stack))) if isinstance(layer, kind)), None)


def _layers(stack: Any) -> Iterator[Any]:
    """Yield each layer of a built stack, going inwards."""
    seen: set[int] = set()
    while stack is not None and id(stack) not in seen:
        yield stack
        seen.add(id(stack))
        stack = getattr(stack, "app", None)
