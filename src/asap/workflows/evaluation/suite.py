"""Check a prompt suite against the captions that models train on."""

from typing import Any

from asap.benchmark.checks import SuiteCheck, check_suite
from asap.benchmark.suite import load_suite
from asap.bodies import sample_caption
from asap.core.errors import InputError

__all__ = ["check"]

PER_CATEGORY = {"haf": 100, "haf-lite": 10}
CAPTIONS = 5000
"""Captions sampled from the grammar to compare with; it has few phrases, so more captions change nothing."""


def check(name: str, *, captions: int = CAPTIONS, seed: int = 0) -> dict[str, Any]:
    """Check HAF or its lite part: counts, parts, near-duplicates, similarity to training captions; returns figures.

    Args:
        name: ``haf`` or ``haf-lite``; ``haf-mini`` uses the training grammar on purpose and is not checked.
        captions: number of captions of the grammar to compare with.
        seed: of the captions.

    Raises:
        InputError: another suite, or a suite with faults; all of them are named.
    """
    if name not in PER_CATEGORY:
        raise InputError(f"want one of {', '.join(PER_CATEGORY)} to check, got {name!r}")
    suite = load_suite(name)
    found: SuiteCheck = check_suite(
        suite.prompts,
        (sample_caption(seed, "check", index) for index in range(captions)),
        per_category=PER_CATEGORY[name],
    )
    if found.faults:
        raise InputError(f"the suite {name} cannot be used: " + "; ".join(found.faults))
    return {"suite": name, "version": suite.version, "digest": suite.digest, **found.figures}
