"""The accounts: what the service told in metrics and lines, against what the load generator knows."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.soak.ledger import Entry, Ledger

LOST_WITHIN = 1.0
"""Seconds before a kill whose lines may be lost: they wait for a quiet turn of the loop, milliseconds as a rule."""

UNCOUNTED_WITHIN = 1.0
"""Seconds before a kill in which one answer may be uncounted: it is counted some microseconds after its last byte,
or when the worker has a processor again."""

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: str) -> Samples:
    """Return all samples of a scrape."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def decreased(before: Samples, after: Samples) -> list[str]:
    """Return the counts that went back between two scrapes."""
    counts = ("_total", "_count", "_bucket")
    return [
        f"{name}{dict(labels)}: {value} -> {after.get((name, labels))}"
        for (name, labels), value in before.items()
        if name.endswith(counts) and after.get((name, labels), -1.0) < value
    ]


def faults(ledger: Ledger, lines: list[str], last: Samples) -> list[str]:
    """Return everything that does not add up; nothing, if all does."""
    parsed: list[dict[str, Any]] = []
    found = []
    for line in lines:
        try:
            parsed.append(json.loads(line))
        except ValueError:
            found.append(f"not JSON: {line[:200]!r}")
    return [
        *found[:5],
        *[f"answered with another id: {request_id}" for request_id in ledger.wrong_ids[:5]],
        *_lines(ledger, parsed),
        *_counts(ledger, last),
        *_quiet(last),
    ]


def _lines(ledger: Ledger, parsed: list[dict[str, Any]]) -> list[str]:
    access: dict[str, list[dict[str, Any]]] = defaultdict(list)
    others: dict[str, Counter[str]] = defaultdict(Counter)
    for line in parsed:
        request_id = line.get("request_id")
        if request_id in ledger.entries:
            if line["event"] == "request_processed":
                access[request_id].append(line)
            else:
                others[request_id][line["event"]] += 1
    found = []
    for request_id, entry in ledger.entries.items():
        seen = access[request_id]
        if len(seen) > 1:
            found.append(f"{len(seen)} access lines: {request_id} {entry}")
        if not seen:
            if entry.fate != "cut" and not ledger.perhaps_lost(request_id, LOST_WITHIN) and not _unseen(entry):
                found.append(f"no access line: {request_id} {entry}")
            continue
        line = seen[0]
        told = (line["endpoint"], line["status"])
        if entry.fate == "answered" and told != (entry.endpoint, entry.status):
            found.append(f"a line says {told}: {request_id} {entry}")
        if entry.fate == "answered" and (expected := _events(entry)) != others[request_id]:
            found.append(f"events {dict(others[request_id])}, not {dict(expected)}: {request_id} {entry}")
    return found[:20]


def _unseen(entry: Entry) -> bool:
    """Whether the worker is unknown: a client that left got no header that names it, and it may have been killed."""
    return entry.fate == "left" and entry.worker == 0


def _events(entry: Entry) -> Counter[str]:
    """Return what is logged under the id of a request besides its access line."""
    if entry.status == 500:
        return Counter({"unhandled_exception": 1})
    if entry.status == 422:
        return Counter({"validation_error": 1})
    if entry.status == 404:
        return Counter({"http_exception": 1})
    own = {"/orders/{number}": "order_read", "/sync": "in_a_thread"}.get(entry.endpoint)
    return Counter({own: 1}) if own else Counter()


def _counts(ledger: Ledger, last: Samples) -> list[str]:
    """Compare the counts of requests: nothing answered is missing, and nothing is counted that was not asked."""
    answered: Counter[tuple[str, str, str]] = Counter()
    unsure: Counter[tuple[str, str]] = Counter()
    for entry in ledger.entries.values():
        if entry.method == "WEBSOCKET":
            continue
        if entry.fate == "answered":
            answered[entry.method, entry.endpoint, str(entry.status)] += 1
        else:
            unsure[entry.method, entry.endpoint] += 1
    counted: Counter[tuple[str, str, str]] = Counter()
    for (name, labels), value in last.items():
        if name == "http_requests_total":
            by = dict(labels)
            counted[by["method"], by["endpoint"], by["status"]] += int(value)
    spared = _spared(ledger)
    found = [
        f"{key}: {count} answered, {counted[key]} counted"
        for key, count in answered.items()
        if counted[key] < count - spared[key]
    ]
    for method, endpoint in {(key[0], key[1]) for key in (*answered, *counted)}:
        sure = sum(count for key, count in answered.items() if key[:2] == (method, endpoint))
        told = sum(count for key, count in counted.items() if key[:2] == (method, endpoint))
        if told > sure + unsure[method, endpoint]:
            found.append(f"{method} {endpoint}: {told} counted, {sure} answered, {unsure[method, endpoint]} unsure")
    placed = sum(value for (name, _), value in last.items() if name == "shop_orders_placed_total")
    if placed < answered["POST", "/orders", "201"]:
        found.append(f"{answered['POST', '/orders', '201']} orders answered, {placed} counted")
    return found


def _spared(ledger: Ledger) -> Counter[tuple[str, str, str]]:
    """Return how many answers of each kind a kill may have kept from being counted: for each kill the last one."""
    lasts: dict[int, Entry] = {}
    for request_id, entry in ledger.of("answered").items():
        last = lasts.get(entry.worker)
        if ledger.perhaps_lost(request_id, UNCOUNTED_WITHIN) and (last is None or entry.at > last.at):
            lasts[entry.worker] = entry
    return Counter((entry.method, entry.endpoint, str(entry.status)) for entry in lasts.values())


def _quiet(last: Samples) -> list[str]:
    """Return what is not as it must be when nothing happens."""
    found = []
    for (name, labels), value in last.items():
        internal = name in {"belvedere_internal_errors_total", "belvedere_log_lines_dropped_total"}
        left = name in {"http_requests_in_progress", "websocket_connections_active"}
        if (internal or left) and value != 0:
            found.append(f"{name}{dict(labels)} is {value}")
    return found
