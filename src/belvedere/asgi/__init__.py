"""The one pass around the application: ids, context, routes, outcome; how it gets on and off."""

from belvedere.asgi.attachment import Attachment
from belvedere.asgi.binding import Binder
from belvedere.asgi.lifespan import Lifespan
from belvedere.asgi.plan import Plan, idle
from belvedere.asgi.request_pass import RequestPass

__all__ = ["Attachment", "Binder", "Lifespan", "Plan", "RequestPass", "idle"]
