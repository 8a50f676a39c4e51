"""Something to be reported, a fork while the thread that reports it imports, and something of the child's."""

import os
import signal
import sys
import threading
import time

from fastapi import FastAPI

import belvedere
from belvedere import integrations

importing = threading.Event()


class Slow:
    """Makes an import in a thread, and those that need it, last longer than a fork would wait for an export."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        slow = name in {"urllib3", "grpc._channel", "stringprep"}
        if slow and threading.current_thread() is not threading.main_thread() and not importing.is_set():
            importing.set()
            time.sleep(2)


signal.alarm(120)
app = FastAPI()
if sys.argv[1] == "sentry":
    import sentry_sdk

    belvedere.observe(app, integrations.sentry())
else:
    from opentelemetry import trace

    belvedere.observe(app)


def report(name: str) -> None:
    if sys.argv[1] == "sentry":
        sentry_sdk.capture_message(name)
    else:
        trace.get_tracer("shop").start_span(name).end()


sys.meta_path.insert(0, Slow())
report("parent")
importing.wait(1)
report("parent" if os.fork() else "child")
signal.pause()
