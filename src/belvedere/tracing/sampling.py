"""The share of traces that is kept, decided by bits of the trace id that are random in every id.

A request id that is made here is a UUID4, and the trace id at once. The SDK's `TraceIdRatioBased` compares the low 64
bits, whose first two are always `10` in a UUID4: at a ratio of 0.1 it keeps none. W3C Trace Context, level 2, promises
randomness for the last 56 bits (https://www.w3.org/TR/trace-context-2/#random-trace-id-flag), so these are compared.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, Final

from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, Context, attach, set_value
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    TraceFlags,
    TraceState,
    get_current_span,
    set_span_in_context,
)

from belvedere.asgi.identity import generator

RANDOM_BITS: Final = 56
_MASK: Final = (1 << RANDOM_BITS) - 1
_DEEPEST: Final = 4
"""Samplers inside samplers that are looked into."""


class Ratio(Sampler):
    """Keeps that share of traces, whatever their parents say.

    Args:
        share: from 0 to 1.
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self.bound = round(share * (1 << RANDOM_BITS))

    def should_sample(  # noqa: PLR0917 - the SDK's signature
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Any = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        parent = get_current_span(parent_context).get_span_context()
        state = parent.trace_state if parent.is_valid else None
        if trace_id & _MASK < self.bound:
            return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes, state)
        return SamplingResult(Decision.DROP, None, state)

    def get_description(self) -> str:
        return f"belvedere.Ratio{{{self.share}}}"


def below_parents(share: float) -> Sampler:
    """Return a sampler that keeps what an inbound decision keeps, and that share of the traces that begin here."""
    return ParentBased(ALWAYS_ON if share >= 1 else Ratio(share))


def with_our_ratio(sampler: Any, depth: int = 0) -> Any:
    """Return `sampler` with a `Ratio` for each `TraceIdRatioBased` in it, the very same one if there is none."""
    if getattr(type(sampler), "should_sample", None) is TraceIdRatioBased.should_sample:
        return Ratio(sampler.rate)
    if depth >= _DEEPEST:
        return sampler
    changed = {
        name: ours
        for name, inner in getattr(sampler, "__dict__", {}).items()
        if isinstance(inner, Sampler) and (ours := with_our_ratio(inner, depth + 1)) is not inner
    }
    if not changed:
        return sampler
    sampler = copy.copy(sampler)
    vars(sampler).update(changed)
    return sampler


def leave_out() -> None:
    """Have no spans made from here on in this context: there is a parent that is not sampled, and instrumentations
    are told to keep out."""
    flags = TraceFlags(TraceFlags.DEFAULT)
    parent = NonRecordingSpan(SpanContext(generator.getrandbits(128), generator.getrandbits(64), False, flags))
    attach(set_span_in_context(parent, set_value(_SUPPRESS_INSTRUMENTATION_KEY, True)))


def root_bound(sampler: Any) -> str | None:
    """Return the bound that a plain parent-based sampler sets to traces that begin here; `None` of any other sampler.

    Ids are kept whose last 14 hex digits, as text, come before it; digits compare as the numbers do.
    """
    if getattr(type(sampler), "should_sample", None) is not ParentBased.should_sample:
        return None
    delegates = {
        "_remote_parent_sampled": ALWAYS_ON,
        "_remote_parent_not_sampled": ALWAYS_OFF,
        "_local_parent_sampled": ALWAYS_ON,
        "_local_parent_not_sampled": ALWAYS_OFF,
    }
    if any(getattr(sampler, name, None) is not expected for name, expected in delegates.items()):
        return None
    root = getattr(sampler, "_root", None)
    if root is ALWAYS_ON:
        return "g"  # comes after every digit
    if root is ALWAYS_OFF:
        return ""
    if type(root) is not Ratio:
        return None
    return "g" if root.bound > _MASK else "%014x" % root.bound  # noqa: UP031 - as ids are written elsewhere


def keeps_all(provider: Any) -> bool:
    """Whether a provider has the SDK's default sampler, so that nobody has chosen what it keeps."""
    return root_bound(getattr(provider, "sampler", None)) == "g"


def adapt(provider: Any, share: float = 1.0) -> Callable[[], None]:
    """Have a provider of the SDK decide by our ratio, where it decides by one, and return what undoes it.

    All of its tracers, as spans below ours may be asked about as well.

    Args:
        share: of the traces that begin here, to be kept by a provider that would keep all.
    """
    theirs = getattr(provider, "sampler", None)
    ours = below_parents(share) if share < 1 and keeps_all(provider) else with_our_ratio(theirs)
    if ours is theirs:
        return lambda: None

    def exchange(before: Any, after: Any) -> None:
        for holder in (provider, *list(getattr(provider, "_tracers", {}).values())):
            if getattr(holder, "sampler", None) is before:
                holder.sampler = after

    exchange(theirs, ours)
    return lambda: exchange(ours, theirs)
