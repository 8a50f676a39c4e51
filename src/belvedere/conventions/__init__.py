"""Every name that leaves the process: metrics, labels, headers, log events and attributes of spans, as data.

Dashboards, alert rules and the documentation are made from this package; nothing else spells these names out.
"""

# ruff: noqa: F403 - each name is written once, where it is defined

from belvedere.conventions.events import *
from belvedere.conventions.headers import *
from belvedere.conventions.metrics import *
from belvedere.conventions.spans import *
from belvedere.conventions.values import *
