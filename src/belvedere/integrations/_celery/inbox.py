"""Questions to all workers at once, and their answers: Celery's remote control, on one connection that stays open.

`app.control.inspect` declares its queue of answers anew for each question and then waits out its whole time-out, as
nobody knows how many there will be. Here, workers that answered before are awaited; those who ask are told then, and
others have a moment more to be known the next time.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import kombu

_kombu: Any = kombu  # it has types for a part of itself
GRACE = 0.05
"""Seconds after the last known worker's answer in which one that has come since may answer as well."""

Answers = dict[str, dict[str, Any]]
"""By command, then by worker."""


class Inbox:
    """Takes answers until it is closed; used by one thread.

    Args:
        app: of Celery.
        connection: that is established; it is the inbox's from now on.
    """

    def __init__(self, app: Any, connection: Any) -> None:
        self.connection = connection
        self._mailbox = app.control.mailbox(connection)
        self._channel = connection.channel()
        self._asked: dict[str, str] = {}
        self._answers: Answers = {}
        self._queue = self._mailbox.reply_queue
        self._producer = _kombu.Producer(self._channel, serializer=self._mailbox.serializer, auto_declare=False)
        self._mailbox.exchange(self._channel).declare()
        self._consumer = _kombu.Consumer(self._channel, [self._queue], no_ack=True, accept=self._mailbox.accept)
        self._consumer.register_callback(self._take)
        self._consumer.consume()

    def ask(
        self,
        commands: Sequence[str],
        patience: float,
        known: int = 0,
        enough: Callable[[Answers], None] = lambda _: None,
    ) -> Answers:
        """Return what workers answer.

        Args:
            commands: of the remote control, without arguments.
            patience: seconds without a further answer, after which none is awaited.
            known: workers after whose answers only a moment is waited; 0: the whole time.
            enough: told when these have answered.
        """
        self._answers = {command: {} for command in commands}
        self._asked = {}
        for command in commands:
            self._publish(command, patience)
        until = time.monotonic() + patience
        told = False
        while (left := until - time.monotonic()) > 0:
            before = self._count()
            try:
                self.connection.drain_events(timeout=left)
            except TimeoutError:
                break
            if known and min(len(answers) for answers in self._answers.values()) >= known:
                if not told:
                    told, until = True, min(until, time.monotonic() + GRACE)
                    enough(self._answers)
            elif self._count() > before:
                until = time.monotonic() + patience
        return self._answers

    def length(self, queue: str) -> int:
        """Return how many messages wait in a queue; in one that nobody has declared, there are none.

        A passive declaration is what AMQP has for this; Kombu's Redis adds up the lists of all priorities for it.
        """
        # Of its own, as AMQP closes one on which such a question fails.
        channel = self.connection.channel()
        try:
            return int(channel.queue_declare(queue=queue, passive=True).message_count)
        except self.connection.channel_errors as error:
            if str(getattr(error, "reply_code", "")) == _NOT_FOUND:
                return 0
            raise
        finally:
            channel.close()

    def close(self) -> None:
        """Leave nothing at the broker, if it can still be told."""
        try:
            # First: to be told that it has lost its queue is an error of AMQP's that leaves the socket open.
            self._consumer.cancel()
            self._channel.queue_delete(self._queue.name)
        finally:
            self.connection.release()

    def _publish(self, command: str, patience: float) -> None:
        mailbox, ticket = self._mailbox, uuid.uuid4().hex
        self._asked[ticket] = command
        message = {
            "method": command,
            "arguments": {},
            "destination": None,
            "pattern": None,
            "matcher": None,
            "ticket": ticket,
            "reply_to": {"exchange": mailbox.reply_exchange.name, "routing_key": mailbox.oid},
        }
        # Workers take no question of which nobody awaits the answer any more.
        headers = {"clock": mailbox.clock.forward(), "expires": time.time() + patience}
        self._producer.publish(message, exchange=mailbox.exchange.name, headers=headers, retry=False)

    def _take(self, body: Any, message: Any) -> None:
        mailbox = self._mailbox
        mailbox.clock.adjust(message.headers.get("clock") or 0)
        command = self._asked.get(message.headers.get("ticket"))
        if command is not None and isinstance(body, dict):
            self._answers[command].update(body)

    def _count(self) -> int:
        return sum(len(answers) for answers in self._answers.values())


_NOT_FOUND = "404"
