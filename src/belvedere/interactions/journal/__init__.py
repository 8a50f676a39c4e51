"""The journal: events on disk, or in memory, from the request that made them until they are delivered.

It knows bytes alone: not what an event is, nor where it goes.
"""

from belvedere.interactions.journal.batch import Batch
from belvedere.interactions.journal.journal import Journal

__all__ = ["Batch", "Journal"]
